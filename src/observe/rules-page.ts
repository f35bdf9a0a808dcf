/**
 * Page /rules: the programmed objects of one Service, as far as the engine knows the kernel. JSON for machines, text for
 * people.
 */

import type { Programmed, ProgrammedObject } from '../dataplane/programmed.ts';
import type { IPFamily } from '../model/address.ts';
import { type Answer, type HttpRequest, json, text, wantsText } from './http.ts';
import { time } from './status-page.ts';

export interface FamilyRules {
  readonly family: IPFamily;
  /** Programmed objects by port of the Service. */
  readonly owners: readonly Programmed[];
}

const SERVICE = /^[^/:\s]+\/[^/:\s]+$/;

export const rulesAnswer = (
  rules: (service: string) => readonly FamilyRules[],
  httpRequest: Pick<HttpRequest, 'query' | 'accept'>,
): Answer => {
  const service = httpRequest.query.get('service') ?? '';
  if (!SERVICE.test(service)) return text(400, 'service: expected ?service=namespace/name\n');
  const families = rules(service).filter(({ owners }) => owners.length > 0);
  if (families.length === 0) {
    return text(404, `nothing is programmed for a Service ${service}; pointsman explain ${service} says why\n`);
  }
  return wantsText(httpRequest) ? text(200, asText(families)) : json(200, asJson(service, families));
};

const asJson = (service: string, families: readonly FamilyRules[]): unknown => ({
  service,
  families: Object.fromEntries(
    families.map(({ family, owners }) => [
      family,
      owners.map(({ status, objects }) => ({ ...status, since: time(status.since), objects })),
    ]),
  ),
});

const asText = (families: readonly FamilyRules[]): string =>
  `${families
    .flatMap(({ family, owners }) => owners.map((owner) => ownerLines(family, owner).join('\n')))
    .join('\n\n')}\n`;

const ownerLines = (family: IPFamily, { status, objects }: Programmed): readonly string[] => {
  const { owner, state, since, message } = status;
  const told = [state, ...(since === 0 ? [] : [`since ${time(since)}`]), ...(message === undefined ? [] : [message])];
  return [`${family} ${owner}: ${told.join(', ')}`, ...objects.flatMap(objectLines)];
};

const objectLines = ({ id, wanted, applied, isApplied }: ProgrammedObject): readonly string[] => {
  const places = applied.flatMap((part) => (part.id === id ? [] : [part.id]));
  const where = places.length === 0 ? '' : `, as ${places.join(', ')}`;
  if (isApplied) return [`  ${id}: in the kernel${where}`, ...indented(wanted)];
  return [
    `  ${id}: NOT in the kernel as wanted`,
    ...(wanted === undefined ? ['    not wanted any more'] : ['    wanted:', ...indented(wanted, 6)]),
    ...(applied.length === 0 ? ['    in the kernel: nothing'] : ['    in the kernel:']),
    ...applied.flatMap((part) => indented(part.text ?? part.id, 6)),
  ];
};

const indented = (lines: string | undefined, by = 4): readonly string[] =>
  (lines ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `${' '.repeat(by)}${line}`);
