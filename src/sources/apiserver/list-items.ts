/**
 * Splits the JSON of a list into its items without parsing: parsing tens of thousands of objects at once blocks the
 * event loop for half a second. Of bytes that are no JSON at least one piece is no JSON.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const LIST = 0x5b;
const LIST_END = 0x5d;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;

/** Text before the bracket of the items, and its length in bytes at most. */
const ITEMS = /[{,]\s*"items"\s*:\s*$/;
const REACH = 64;

/** Yields the items of `{ …, "items": [ … ], … }` one by one; returns the rest of the list, with empty items. */
export function* cutItems(json: Buffer): Generator<string, string> {
  const start = startOfItems(json);
  if (start === -1) return json.toString('utf8');
  const end = yield* itemsFrom(json, start);
  return json.toString('utf8', 0, start) + json.toString('utf8', end);
}

/** Offset after the opening bracket of the outermost object's items; -1 when there are none. */
const startOfItems = (json: Buffer): number => {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfText(json, at);
    else if (byte === OBJECT_END || byte === LIST_END) depth -= 1;
    else if (byte === OBJECT || byte === LIST) {
      const isItems = byte === LIST && depth === 1 && ITEMS.test(json.toString('latin1', Math.max(0, at - REACH), at));
      if (isItems) return at + 1;
      depth += 1;
    }
  }
  return -1;
};

/** Yields the items; returns the offset of the closing bracket. */
function* itemsFrom(json: Buffer, start: number): Generator<string, number> {
  let depth = 0;
  let from = start;
  for (let at = start; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfText(json, at);
    else if (byte === OBJECT || byte === LIST) depth += 1;
    else if (depth > 0 && (byte === OBJECT_END || byte === LIST_END)) depth -= 1;
    else if (depth === 0 && (byte === COMMA || byte === LIST_END)) {
      const item = json.toString('utf8', from, at);
      // an empty list has no item; a comma requires one after it
      if (byte === COMMA || from > start || item.trim() !== '') yield item;
      if (byte === LIST_END) return at;
      from = at + 1;
    }
  }
  return json.length;
}

/** Offset of the closing quote of a string. */
const endOfText = (json: Buffer, start: number): number => {
  for (let at = start + 1; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at += 1;
  }
  return json.length;
};
