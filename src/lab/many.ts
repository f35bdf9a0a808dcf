/** Many equal Services with endpoints, by number: for measurements at scale. Pure. */

export interface ServiceObject {
  readonly [field: string]: unknown;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: Readonly<{ clusterIP: string; [field: string]: unknown }>;
}

const NAMESPACE = 'many';
const PORT = { name: 'http', protocol: 'TCP' } as const;

/** Factor that spreads consecutive numbers over 2^16 addresses without collisions, as an allocator does. */
const SPREAD = 40_503;

const address = (base: string, number: number): string =>
  `${base}.${((number * SPREAD) >> 8) & 255}.${(number * SPREAD) & 255}`;

const endpointAddress = (number: number, i: number): string => `10.${100 + (number >> 8)}.${number & 255}.${i + 1}`;

export const firstEndpoint = (number: number): string => endpointAddress(number, 0);

/** Service and EndpointSlice of a number; `firstEndpoint` replaces the address of its first endpoint. */
export const serviceObjects = (
  number: number,
  endpoints: number,
  firstEndpoint?: string,
): readonly [
  ServiceObject,
  Readonly<Record<string, unknown>> & { readonly kind: string; readonly metadata: object },
] => {
  const name = `service-${number}`;
  const clusterIP = address('10.96', number);
  const ip = (i: number): string => endpointAddress(number, i);
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: NAMESPACE, name },
      spec: {
        type: 'ClusterIP',
        clusterIP,
        clusterIPs: [clusterIP],
        ipFamilies: ['IPv4'],
        ports: [{ ...PORT, port: 80, targetPort: 8080 }],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: NAMESPACE, name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ ...PORT, port: 8080 }],
      endpoints: Array.from({ length: endpoints }, (_, i) => ({
        addresses: [i === 0 && firstEndpoint !== undefined ? firstEndpoint : ip(i)],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: `node${(number + i) % 10}`,
      })),
    },
  ];
};

export const manyServices = (from: number, count: number, endpoints: number) =>
  Array.from({ length: count }, (_, i) => serviceObjects(from + i, endpoints)).flat();
