/**
 * What IPVS has counted of each virtual server: one list, and no real server is asked for. The kernel adds it up every two
 * seconds, so it is as old as that.
 */
import type { Counts, Traffic } from '../../dataplane/contract.ts';
import type { CountedService } from '../../ipvs-netlink/types.ts';
import { familyOf, type IPFamily } from '../../model/address.ts';
import { type Handles, using } from './handles.ts';
import type { Marks } from './marks.ts';
import { serverId } from './objects.ts';

/** Others' virtual servers are among them. Throws NetlinkError. */
export const readTraffic = ({ ipvs, open }: Handles, family: IPFamily, marks: Marks): Promise<Traffic> =>
  using(open.ipvs, async (reader) => {
    const counts = new Map<string, Counts>();
    const { messages } = ipvs.sent;
    await reader.visitServices((service) => {
      if (familyOfService(service) === family) counts.set(serverId(marks.named(service.key)), countsOf(service));
    });
    // the kernel counts its way through the list: one that changes meanwhile may lack some, and does not say so
    return { counts, isWhole: ipvs.sent.messages === messages };
  });

const familyOfService = ({ key }: CountedService): IPFamily | undefined =>
  'fwmark' in key ? key.family : familyOf(key.address);

const countsOf = ({ traffic }: CountedService): Counts => ({
  connections: Number(traffic.connections),
  packetsIn: Number(traffic.packetsIn),
  bytesIn: Number(traffic.bytesIn),
  packetsOut: Number(traffic.packetsOut),
  bytesOut: Number(traffic.bytesOut),
});
