/**
 * Who sends × where to × whose policy × how the node knows pods and whom it masquerades: facts that no other row says.
 * One endpoint here, one elsewhere.
 */
import {
  ALL_WAYS,
  type Flags,
  from,
  INTERNAL_LOCAL,
  L1,
  L2,
  LOCAL,
  type Probe,
  R1,
  type Row,
  toAll,
  WAYS_IN,
} from './rows.ts';

interface Setting {
  readonly name: string;
  readonly flags: Flags;
  readonly knowsPods: boolean;
  readonly masqueradesAll: boolean;
}

const NO_DETECTOR = { 'cluster-cidr': '' };
const ALL = { 'masquerade-all': 'true' };

const SETTINGS: readonly Setting[] = [
  { name: 'as usual', flags: {}, knowsPods: true, masqueradesAll: false },
  { name: 'no detector', flags: NO_DETECTOR, knowsPods: false, masqueradesAll: false },
  { name: 'masquerade all', flags: ALL, knowsPods: true, masqueradesAll: true },
  { name: 'masquerade all, no detector', flags: { ...NO_DETECTOR, ...ALL }, knowsPods: false, masqueradesAll: true },
];

const HERE = ['pod2'] as const;
const HERE_MASQUERADED = ['pod2+m'] as const;
const BOTH = ['pod2', 'remote1'] as const;
const BOTH_MASQUERADED = ['pod2+m', 'remote1+m'] as const;

/**
 * An answer to outside from the other node would not pass this one, so outside's call to an endpoint there works only
 * where it is masqueraded.
 */
const toClusterIP = ({ knowsPods, masqueradesAll }: Setting, isLocal: boolean): readonly Probe[] => {
  const [plain, masqueraded] = isLocal ? [HERE, HERE_MASQUERADED] : [BOTH, BOTH_MASQUERADED];
  const others = knowsPods || masqueradesAll ? masqueraded : plain;
  const finds = isLocal || others === masqueraded;
  return [
    from('pod3', 'cluster', masqueradesAll ? masqueraded : plain),
    from('node1', 'cluster', others),
    ...(finds ? [from('outside', 'cluster', others)] : []),
  ];
};

const CLUSTER_POLICY = (['pod3', 'node1', 'outside'] as const).flatMap((host) =>
  toAll(host, WAYS_IN, BOTH_MASQUERADED),
);

const localPolicy = ({ knowsPods }: Setting): readonly Probe[] => [
  ...toAll('pod3', WAYS_IN, knowsPods ? BOTH : HERE),
  ...toAll('node1', WAYS_IN, BOTH_MASQUERADED),
  ...toAll('outside', WAYS_IN, HERE),
];

const rowsUnder = (setting: Setting): readonly Row[] => {
  const { name, flags } = setting;
  const service = { ...ALL_WAYS, endpoints: [R1, L2] };
  return [
    {
      name: `${name}: both policies Cluster`,
      flags,
      service,
      probes: [...toClusterIP(setting, false), ...CLUSTER_POLICY],
    },
    {
      name: `${name}: external policy Local`,
      flags,
      service: { ...service, spec: LOCAL },
      probes: [...toClusterIP(setting, false), ...localPolicy(setting)],
    },
    {
      name: `${name}: internal policy Local`,
      flags,
      service: { ...service, spec: INTERNAL_LOCAL },
      probes: [...toClusterIP(setting, true), ...CLUSTER_POLICY],
    },
    {
      name: `${name}: both policies Local`,
      flags,
      service: { ...service, spec: { ...LOCAL, ...INTERNAL_LOCAL } },
      probes: [...toClusterIP(setting, true), ...localPolicy(setting)],
    },
  ];
};

export const MATRIX: readonly Row[] = [
  ...SETTINGS.flatMap(rowsUnder),
  {
    name: 'no detector: outside keeps its address on the way to a ClusterIP',
    flags: NO_DETECTOR,
    service: { endpoints: [L1, L2] },
    probes: [from('outside', 'cluster', ['pod1', 'pod2']), from('pod1', 'cluster', ['pod1+m', 'pod2'])],
  },
  {
    name: 'no detector: external policy Local without a local endpoint drops pods too',
    flags: NO_DETECTOR,
    service: { ...ALL_WAYS, spec: LOCAL, endpoints: [R1] },
    probes: [
      ...toAll('pod3', WAYS_IN, 'dropped'),
      ...toAll('outside', WAYS_IN, 'dropped'),
      ...toAll('node1', WAYS_IN, ['remote1+m']),
    ],
  },
];
