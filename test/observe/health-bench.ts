/** Health checks on real sockets, for tests of them. */
import { expect, onTestFinished, vi } from 'vitest';
import type { IPFamily } from '../../src/model/address.ts';
import {
  type HealthCheckOptions,
  type HealthCheckProblem,
  HealthCheckServers,
} from '../../src/observe/health-checks.ts';
import { HandClock, heard } from './health-clients.ts';

export const LOCAL = ['127.0.0.1'];
/** Servers that stop with the test, what they reported, and the time of their back-off. */
export const start = (family: IPFamily = 'IPv4', options: Partial<HealthCheckOptions> = {}) => {
  const problems: HealthCheckProblem[] = [];
  const clock = new HandClock();
  const onProblem = (problem: HealthCheckProblem): void => void problems.push(problem);
  const servers = new HealthCheckServers(family, {
    isHealthy: () => true,
    isServed: () => true,
    onProblem,
    clock,
    ...options,
  });
  onTestFinished(() => servers.stop());
  return { servers, problems, clock };
};

/** Until it is so: sockets open and close when the kernel gets to it. */
export const eventually = (port: number, expected: string, host?: string): Promise<void> =>
  vi.waitFor(async () => expect(await heard(port, host)).toBe(expected), { timeout: 5_000, interval: 5 });

export const REFUSED = 'ECONNREFUSED';

/** What kube-proxy 1.36 answers. */
export const body = (name: string, localEndpoints: number, isHealthy: boolean): string =>
  [
    '{',
    '\t"service": {',
    '\t\t"namespace": "ns",',
    `\t\t"name": "${name}"`,
    '\t},',
    `\t"localEndpoints": ${localEndpoints},`,
    `\t"serviceProxyHealthy": ${isHealthy}`,
    '}',
  ].join('\n');
