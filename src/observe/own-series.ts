/** Series that kube-proxy does not have. */
import { Counter, Gauge, type Registry } from 'prom-client';

const FAMILY = 'ip_family';

export const ownSeries = (registry: Registry) => {
  const options = <L extends string>(name: string, help: string, labelNames: readonly L[]) => ({
    name: `pointsman_${name}`,
    help,
    labelNames,
    registers: [registry],
  });
  const counter = <L extends string>(name: string, help: string, ...labels: readonly L[]): Counter<L> =>
    new Counter(options(name, help, labels));
  const gauge = <L extends string>(name: string, help: string, ...labels: readonly L[]): Gauge<L> =>
    new Gauge(options(name, help, labels));
  return {
    build: gauge('build_info', 'Always 1: the labels tell', 'version', 'mode'),
    failures: counter('failures_total', 'Syncs and audits that failed as a whole', FAMILY, 'work'),
    drift: counter('drift_objects_total', 'Kernel objects that others had changed, found and repaired', FAMILY, 'kind'),
    quarantined: gauge('quarantined_owners', 'Service ports that the kernel refuses, set aside', FAMILY),
    transactions: counter('kernel_transactions_total', 'Batches written to the kernel', FAMILY, 'result'),
    objects: counter('objects_written_total', 'Kernel objects written', FAMILY, 'op'),
    events: counter('events_total', 'Kubernetes Events, by what became of them', 'result'),
    relists: counter('watch_relists_total', 'How often all objects of a kind were listed', 'kind'),
    restarts: counter('watch_restarts_total', 'Watch requests after the first', 'kind'),
    silence: gauge('watch_last_event_age_seconds', 'Time since the last event or bookmark of a kind', 'kind'),
    malformed: gauge('malformed_objects', 'Objects that cannot be read at the moment and are left out', 'kind'),
    skipped: counter('skipped_objects_total', 'How often an object that cannot be read was left out'),
  };
};

export type OwnSeries = ReturnType<typeof ownSeries>;
