/**
 * Excerpts of untrusted values for log lines, messages and pages: one line at most, without characters that end a line or
 * control a terminal.
 */

/** UTF-16 units of a value that are quoted. */
export const LONGEST_EXCERPT = 64;

/** Characters that JSON does not escape: DEL and C1 controls, line ends of Unicode, marks of direction, zero width. */
const UNSEEN = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const escaped = (json: string): string =>
  json.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Value as JSON; a longer one as its beginning and length: `"aaaa…" (262144 characters)`. Never throws. */
export const excerpt = (value: unknown): string => {
  const text = typeof value === 'string' ? value : jsonOf(value);
  if (text.length <= LONGEST_EXCERPT) return escaped(typeof value === 'string' ? JSON.stringify(text) : text);
  const beginning = text.slice(0, LONGEST_EXCERPT);
  const shown = typeof value === 'string' ? `${JSON.stringify(beginning).slice(0, -1)}…"` : `${beginning}…`;
  return `${escaped(shown)} (${text.length} characters)`;
};

/** JSON of a value; a word for one that is nested too deeply. */
const jsonOf = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Array.isArray(value) ? 'a list' : 'an object';
  }
};
