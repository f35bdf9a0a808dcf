/**
 * Reads the counters of virtual servers from one list, without real servers. The kernel sums them up every two seconds, so
 * they may be two seconds old.
 */
import type { ObjectTraffic, TrafficCounts } from '../../dataplane/contract.ts';
import type { CountedService } from '../../ipvs-netlink/types.ts';
import { familyOf, type IPFamily } from '../../model/address.ts';
import { type Handles, using } from './handles.ts';
import type { PacketMarks } from './marks.ts';
import { serverId } from './objects.ts';

/** Counters by id, also of virtual servers of others. Throws NetlinkError. */
export const readTraffic = ({ ipvs, open }: Handles, family: IPFamily, marks: PacketMarks): Promise<ObjectTraffic> =>
  using(open.ipvs, async (reader) => {
    const counts = new Map<string, TrafficCounts>();
    const { messages } = ipvs.sent;
    await reader.visitServices((service) => {
      if (familyOfService(service) === family) counts.set(serverId(marks.named(service.key)), countsOf(service));
    });
    // the kernel resumes a list by position: a list that changes meanwhile may lack some, without an error
    return { counts, isWhole: ipvs.sent.messages === messages };
  });

const familyOfService = ({ key }: CountedService): IPFamily | undefined =>
  'fwmark' in key ? key.family : familyOf(key.address);

const countsOf = ({ traffic }: CountedService): TrafficCounts => ({
  connections: Number(traffic.connections),
  packetsIn: Number(traffic.packetsIn),
  bytesIn: Number(traffic.bytesIn),
  packetsOut: Number(traffic.packetsOut),
  bytesOut: Number(traffic.bytesOut),
});
