/** JSON objects of requests. */

export type JsonObject = Readonly<Record<string, unknown>>;
