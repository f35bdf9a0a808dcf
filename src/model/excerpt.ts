/**
 * Values from objects that anybody may have written, as they stand in log lines, messages and pages: never longer than a line,
 * and without a character that would end it or be obeyed by a terminal.
 */

/** UTF-16 units that are quoted of a value. */
export const LONGEST_EXCERPT = 64;

/** What JSON leaves as it is: DEL and C1 controls, line ends of Unicode, marks of direction, and what has no width. */
const UNSEEN = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const escaped = (json: string): string =>
  json.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** As JSON; of what is longer the beginning, and its whole length: `"aaaa…" (262144 characters)`. */
export const excerpt = (value: unknown): string => {
  const text = typeof value === 'string' ? value : jsonOf(value);
  if (text.length <= LONGEST_EXCERPT) return escaped(typeof value === 'string' ? JSON.stringify(text) : text);
  const beginning = text.slice(0, LONGEST_EXCERPT);
  const shown = typeof value === 'string' ? `${JSON.stringify(beginning).slice(0, -1)}…"` : `${beginning}…`;
  return `${escaped(shown)} (${text.length} characters)`;
};

/** What came as JSON can be written as such, unless it is nested too deeply. */
const jsonOf = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Array.isArray(value) ? 'a list' : 'an object';
  }
};
