/** Opens what leaving mode ipvs needs, where the kernel has something of it. */
import { existsSync } from 'node:fs';
import type { IptablesTools } from '../../kernel/iptables.ts';
import { ipvsConnections } from '../../kernel/ipvs-connections.ts';
import { IP_FAMILIES, type IPFamily } from '../../model/address.ts';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { deleteFlows, type Flow, visitFlows } from '../../netlink/conntrack.ts';
import { getLink } from '../../netlink/route.ts';
import { openSocket, PROTOCOL } from '../../netlink/socket.ts';
import { rulesDrivers } from '../xtables/driver.ts';
import { DepartingIpvs, type FlowTable } from './departing-ipvs.ts';
import { openHandles } from './handles.ts';
import { DEVICE } from './names.ts';
import type { IpvsSettings } from './settings.ts';

/** File that exists while the module ip_vs is loaded. */
const IPVS_IS_LOADED = '/proc/net/ip_vs';

/** Whether the kernel may have objects of this mode. Loads no module. Throws NetlinkError. */
export const isIpvsPresent = (): boolean => {
  if (existsSync(IPVS_IS_LOADED)) return true;
  const links = new NetlinkConnection(openSocket(PROTOCOL.ROUTE));
  try {
    return getLink(links, DEVICE) !== undefined;
  } finally {
    links.close();
  }
};

const flowTable = (connection: NetlinkConnection): FlowTable => ({
  to: async (places, family) => {
    const flows: Flow[] = [];
    await visitFlows(connection, { family, protocol: 'udp' }, (flow) => {
      if (places.has(`${flow.original.destination} ${flow.original.destinationPort}`)) flows.push(flow);
    });
    return flows;
  },
  delete: (flows) => {
    const [failure] = deleteFlows(connection, flows);
    if (failure !== undefined) throw failure.error;
  },
});

export interface OpenedIpvsDeparture {
  readonly backends: ReadonlyMap<IPFamily, DepartingIpvs>;
  close(): void;
}

/** Opens the departing mode of both families. Throws, naming what is missing, when the kernel cannot be read. */
export const openIpvsDeparture = async (
  tools: IptablesTools,
  settings: IpvsSettings,
  masqueradeMark: number,
): Promise<OpenedIpvsDeparture> => {
  const handles = await openHandles(false);
  const conntrack = new NetlinkConnection(openSocket(PROTOCOL.NETFILTER));
  const kernel = {
    handles,
    rules: rulesDrivers(tools),
    connections: ipvsConnections,
    flows: flowTable(conntrack),
  };
  return {
    backends: new Map(
      IP_FAMILIES.map((family) => [family, new DepartingIpvs({ family, settings, kernel, masqueradeMark })]),
    ),
    close: () => {
      conntrack.close();
      handles.close();
    },
  };
};
