/** What kube-proxy 1.36.2 left in mode ipvs, as this backend would read it. */
import { readFileSync } from 'node:fs';
import { SET_NAMES, setDefinition, setName } from '../../../src/backends/ipvs/names.ts';
import {
  address,
  device,
  entry,
  type IpvsObject,
  ipSet,
  realServer,
  virtualServer,
} from '../../../src/backends/ipvs/objects.ts';
import { SaveParser } from '../../../src/backends/xtables/parse.ts';
import { MASQUERADE, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import type { IpvsProtocol, ServiceKey } from '../../../src/ipvs-netlink/types.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import type { SetDefinition, SetEntry, SetProtocol } from '../../../src/netlink/ipset.ts';

const FOLDER = new URL('../../fixtures/kube-proxy-1.36.2/', import.meta.url);
export const recordedLines = (name: string): readonly string[] =>
  readFileSync(new URL(name, FOLDER), 'utf8').split('\n');

const familyOf = (text: string): IPFamily => (/KUBE-6-|::/.test(text) ? 'IPv6' : 'IPv4');

const entryOf = (text: string, { type, family }: SetDefinition): SetEntry => {
  const [first = '', portText, secondText] = text.split(',');
  if (/^\d+$/.test(first)) return { port: Number(first) };
  if (portText === undefined) return { address: first };
  const [protocol, port] = portText.split(':');
  const [second, written] = secondText?.split('/') ?? [];
  const whole = type === 'hash:ip,port,net' ? (family === 'IPv4' ? '32' : '128') : undefined;
  const prefix = written ?? whole;
  return {
    address: first,
    protocol: protocol as SetProtocol,
    port: Number(port),
    ...(second === undefined ? {} : { second, ...(prefix === undefined ? {} : { prefix: Number(prefix) }) }),
  };
};

const setObjects = (family: IPFamily): readonly IpvsObject[] =>
  recordedLines('ipvs/ipset-save.txt').flatMap((line): readonly IpvsObject[] => {
    const [command, name = '', text = ''] = line.split(' ');
    const known = SET_NAMES.find((one) => setName(one, family) === name);
    if (known === undefined) return [];
    const definition = setDefinition(known, family);
    return command === 'create' ? [ipSet(definition)] : [entry(definition, entryOf(text, definition))];
  });

const hostPort = (text: string): { readonly address: string; readonly port: number } => {
  const [, ip = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
  return { address: ip, port: Number(port) };
};

const serverObjects = (family: IPFamily): readonly IpvsObject[] =>
  recordedLines('ipvs/ipvsadm-Sn.txt').flatMap((line): readonly IpvsObject[] => {
    const [command, flag, at = '', , to = ''] = line.split(' ');
    if (at === '' || familyOf(at) !== family) return [];
    const protocol: IpvsProtocol = flag === '-u' ? 'UDP' : 'TCP';
    const key: ServiceKey = { protocol, ...hostPort(at) };
    return command === '-A' ? [virtualServer(key, PLAIN)] : [realServer(key, hostPort(to), MASQUERADE)];
  });

export const recordedRules = (name: string) => {
  const parser = new SaveParser();
  for (const line of recordedLines(name)) parser.push(line);
  return [...parser.objects.values()];
};

export const recordedHeld = (family: IPFamily): readonly IpvsObject[] => [
  ...recordedRules(`ipvs/${family === 'IPv6' ? 'ip6' : 'ip'}tables-save.txt`),
  device,
  ...setObjects(family),
  ...[
    ...recordedLines('ipvs/addresses.txt')
      .join(' ')
      .matchAll(/(\S+)\/(?:32|128)/g),
  ].flatMap(([, ip = '']) => (familyOf(ip) === family ? [address(ip)] : [])),
  ...serverObjects(family),
];
