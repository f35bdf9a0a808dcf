/**
 * One Service on this node, explained: what it asks for, which endpoints take which calls and why the others do not, what
 * becomes of a call, and its rules. Needs neither root nor a kernel, as `dump`.
 */
import { offlineBackend, profileOf } from '../backends/index.ts';
import type { ProxyMode } from '../config/config.ts';
import { nearest } from '../config/problem.ts';
import { compileAll } from '../dataplane/report.ts';
import { IP_FAMILIES, type IPFamily } from '../model/address.ts';
import { Malformed } from '../model/kubernetes.ts';
import type { Service } from '../model/service.ts';
import { resourcesFor, whyNotSelected, withAllServices } from '../sources/resources.ts';
import type { Snapshot } from '../sources/snapshot.ts';
import { type Asked, type FamilyStory, familyStory, findObject, keyOf, serviceIn, slicesOf } from './explanation.ts';
import { familyText } from './explanation-text.ts';
import { readObjects, trackerOf, write } from './look.ts';
import type { Setup } from './setup.ts';

export interface ExplainOptions {
  /** `ns/name` or `ns/name:port`. */
  readonly service: string;
  readonly output: 'text' | 'json';
  /** Both unless said. */
  readonly family: IPFamily | undefined;
  readonly signal: AbortSignal;
}

const ASKED = /^([^/:\s]+\/[^/:\s]+?)(?::([^/:\s]*))?$/;

/** Throws, saying what was expected, when the text is none. */
export const parseAsked = (text: string): Asked => {
  const [, service, port] = ASKED.exec(text) ?? [];
  if (service !== undefined) return { service, port };
  throw new Error(`"${text}" names no Service: expected namespace/name, or namespace/name:port for one of its ports`);
};

export interface Page {
  readonly service: string;
  readonly node: string;
  readonly mode: ProxyMode;
  readonly type: string | undefined;
  /** Why nothing is programmed for it, or not in a family. */
  readonly notServed: readonly string[];
  readonly families: readonly FamilyStory[];
}

/** Gives whether the Service is served at all. Throws when the cluster cannot be read. */
export const explain = async (setup: Setup, options: ExplainOptions): Promise<boolean> => {
  const asked = parseAsked(options.service);
  const resources = resourcesFor(setup.nodeName);
  const objects = await readObjects(setup, options.signal, withAllServices(resources));
  const page = await pageOf(setup, asked, options.family, objects);
  await write(options.output === 'json' ? `${JSON.stringify(page, undefined, 2)}\n` : pageText(page));
  return page.families.length > 0;
};

/** `objects` has Services of every sort. Throws, saying what is missing, where no rules can be made. */
export const pageOf = async (
  setup: Setup,
  asked: Asked,
  family: IPFamily | undefined,
  objects: Snapshot,
): Promise<Page> => {
  const { config, nodeName: node } = setup;
  const object = findObject(objects.Service, asked.service);
  const { type } = ((object ?? {}) as { readonly spec?: { readonly type?: string } }).spec ?? {};
  const about = {
    service: asked.service,
    node,
    mode: config.mode,
    type: object === undefined ? undefined : (type ?? 'ClusterIP'),
  };
  const service = object === undefined ? missing(asked.service, objects) : servable(object, asked);
  if (typeof service === 'string') return { ...about, notServed: [service], families: [] };
  const wanted = family === undefined ? IP_FAMILIES : [family];
  const absent = wanted.filter((one) => service.ports[one].length === 0);
  const stories = await storiesOf(
    setup,
    asked,
    wanted.filter((one) => !absent.includes(one)),
    objects,
  );
  const notServed = absent.map((one) => `it has no ClusterIP of family ${one}`);
  return { ...about, notServed, families: stories };
};

const missing = (service: string, objects: Snapshot): string => {
  const known = nearest(
    service,
    objects.Service.flatMap((object) => keyOf(object) ?? []),
  );
  return `there is no such Service${known === undefined ? '' : `; the nearest name is ${known}`}`;
};

/** The Service; or why nothing is programmed for it. */
const servable = (object: unknown, asked: Asked): Service | string => {
  const reason = whyNotSelected(object);
  if (reason !== undefined) return reason;
  const service = serviceIn(object);
  if (service instanceof Malformed) return `it cannot be read: ${service.message}`;
  if (service.notProxied !== undefined) return service.notProxied;
  const ports = IP_FAMILIES.flatMap((family) => service.ports[family]).map(({ name }) => name.port);
  if (asked.port === undefined || ports.includes(asked.port)) return service;
  return `it has no port named "${asked.port}"; there is: ${[...new Set(ports)].map((name) => name || '(one without a name)').join(', ')}`;
};

const storiesOf = async (
  setup: Setup,
  asked: Asked,
  families: readonly IPFamily[],
  objects: Snapshot,
): Promise<readonly FamilyStory[]> => {
  const resources = resourcesFor(setup.nodeName);
  const services = objects.Service.filter((object) =>
    resources.some(({ kind, selects }) => kind === 'Service' && selects(object)),
  );
  const tracker = trackerOf(setup, { ...objects, Service: services });
  const slices = slicesOf(objects, asked.service);
  const stories: FamilyStory[] = [];
  for (const family of families) {
    const backend = await offlineBackend(setup.config.mode, family, setup);
    const work = tracker.take(family);
    const { node, services: resolved } = work;
    stories.push(
      familyStory(asked, slices, { backend, compiled: compileAll(backend, work), node, services: resolved }),
    );
  }
  return stories;
};

/** For people. */
export const pageText = ({ service, node, mode, type, notServed, families }: Page): string =>
  [
    `Service ${service}${type === undefined ? '' : `, type ${type}`}, on node ${node}`,
    ...notServed.map((reason) =>
      families.length === 0
        ? `Nothing is programmed for it: ${reason}.`
        : `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`,
    ),
    ...families.flatMap((family) => ['', familyText(family, profileOf(mode)).trimEnd()]),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
