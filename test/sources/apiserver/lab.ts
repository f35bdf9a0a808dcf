/** An API server for each test of a file, and a source that follows it; both are gone after the test. */
import { afterEach, beforeEach, expect } from 'vitest';
import type { LoggedRequest } from '../../../src/lab/apiserver/exchange.ts';
import type { Verb } from '../../../src/lab/apiserver/faults.ts';
import { ApiServer, type ApiServerOptions } from '../../../src/lab/apiserver/server.ts';
import type { ConnectionTimeouts } from '../../../src/sources/apiserver/http.ts';
import type { Timing } from '../../../src/sources/apiserver/timing.ts';
import { type Following, follow } from '../support.ts';

export const poll = <T>(read: () => T) => expect.poll(read, { interval: 5, timeout: 3000 });

export interface Lab {
  /** This test's server. */
  readonly server: ApiServer;
  begin(timing?: Partial<Timing>, timeouts?: Partial<ConnectionTimeouts>): Promise<Following>;
  /** Begins, and waits until the first contents are here and four watches open. */
  synced(timing?: Partial<Timing>, timeouts?: Partial<ConnectionTimeouts>): Promise<Following>;
  /** The requests so far, of one verb and for one resource. */
  asked(verb: Verb, resource?: string): readonly LoggedRequest[];
  /** From now on this is an older server, without streaming lists. */
  refuseStreaming(): void;
}

export const useLab = (options: ApiServerOptions): Lab => {
  let server = new ApiServer(options);
  const followers: Following[] = [];
  beforeEach(async () => {
    server = new ApiServer(options);
    await server.start();
  });
  afterEach(async () => {
    for (const follower of followers.splice(0)) await follower.stop();
    await server.stop();
  });
  const begin: Lab['begin'] = async (timing = {}, timeouts = {}) => {
    const following = await follow(server, timing, { timeouts });
    followers.push(following);
    return following;
  };
  return {
    get server() {
      return server;
    },
    begin,
    synced: async (timing, timeouts) => {
      const following = await begin(timing, timeouts);
      await poll(() => following.sink.synced).toBe(true);
      await poll(() => server.openWatches).toBe(4);
      return following;
    },
    asked: (verb, resource = 'services') =>
      server.requests.filter((request) => request.verb === verb && request.resource === resource),
    refuseStreaming: () => server.inject({ fault: 'no-streaming', how: 'refuse' }),
  };
};
