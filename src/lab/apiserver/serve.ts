/** Requests with an immediate answer: all but watches. */
import { describeServer } from './discovery.ts';
import { type Exchange, readBody, sendBody } from './exchange.ts';
import { listObjects } from './list.ts';
import { methodNotAllowed, noSuchPath } from './status.ts';
import type { Store } from './store.ts';
import { createObject, deleteObject, getObject, patchObject, updateObject } from './write.ts';

/** Answers a request. Throws StatusError. */
export const serve = async (exchange: Exchange, store: Store, random: () => number): Promise<void> => {
  const { request, response, asked, target } = exchange;
  if (target === undefined) {
    const description = asked.method === 'GET' ? describeServer(asked.path) : undefined;
    if (description === undefined) throw noSuchPath();
    sendBody(response, 200, description);
    return;
  }
  switch (asked.verb) {
    case 'list':
      return sendBody(response, 200, listObjects(store, target.type, target.namespace, asked.query));
    case 'get':
      return sendBody(response, 200, getObject(store, target));
    case 'create':
      return sendBody(response, 201, createObject(store, target, await readBody(request), random));
    case 'update':
      return sendBody(response, 200, updateObject(store, target, await readBody(request)));
    case 'patch': {
      const contentType = request.headers['content-type'] ?? '';
      return sendBody(response, 200, patchObject(store, target, await readBody(request), contentType));
    }
    case 'delete':
      return sendBody(response, 200, deleteObject(store, target));
    default:
      throw methodNotAllowed();
  }
};
