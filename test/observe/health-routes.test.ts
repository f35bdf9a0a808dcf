/** The health server's answers, as load balancers and the kubelet get them. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { HealthState } from '../../src/observe/health.ts';
import { healthRoutes } from '../../src/observe/health-routes.ts';
import { RouteServer } from '../../src/observe/server.ts';
import { ask } from './health-clients.ts';

const PERIOD_MS = 30_000;
const BEGIN = '2026-01-01T00:00:00.000Z';
const LATER = '2026-01-01T00:01:00.000Z';

const start = async () => {
  const state = { now: Date.parse(BEGIN), isEligible: true };
  const probes: string[] = [];
  const checks: string[] = [];
  const health = new HealthState(
    PERIOD_MS,
    () => state.now,
    () => state.now,
  );
  const routes = healthRoutes({
    health,
    isNodeEligible: () => state.isEligible,
    onProbe: (probe, status) => probes.push(`${probe} ${status}`),
    onCheck: (probe, check, isWell) => checks.push(`${probe} ${check} ${isWell}`),
    now: () => state.now,
  });
  const log = { debug: () => undefined, info: () => undefined, error: () => undefined };
  const server = new RouteServer({ name: 'health', address: '127.0.0.1:0', routes, hardFail: true, log });
  await server.start();
  onTestFinished(() => server.stop());
  const probe = (path: string) => ask(Number(server.address?.split(':').at(-1)), { path });
  return { state, health, probes, checks, probe };
};

describe('the health server', () => {
  it("gives kube-proxy's answer to the byte when all is well", async () => {
    const { state, health, probe } = await start();
    health.updated('IPv4');
    health.updated('IPv6');
    state.now = Date.parse(LATER);
    const both = `"status":{"IPv4":{"lastUpdated":"${BEGIN}","healthy":true},"IPv6":{"lastUpdated":"${BEGIN}","healthy":true}}`;
    const { status, headers, body } = await probe('/healthz');
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-content-type-options': 'nosniff' });
    const times = `"lastUpdated":"${LATER}","currentTime":"${LATER}"`;
    expect(body).toBe(`{${times},"nodeEligible":true,"healthy":true,${both}}`);
    expect((await probe('/livez')).body).toBe(`{${times},"healthy":true,${both}}`);
  });

  it('tells how each check behind a probe turned out', async () => {
    const { state, health, probe, checks } = await start();
    health.updated('IPv4');
    health.queued('IPv4');
    state.now = Date.parse(LATER);
    state.isEligible = false;
    await probe('/healthz');
    expect(checks.splice(0)).toEqual(['healthz sync-ipv4 false', 'healthz node-eligible false']);
    await probe('/livez');
    expect(checks).toEqual(['livez sync-ipv4 false']);
  });

  it('says 503 with the family that is not well, and when it last was', async () => {
    const { state, health, probe } = await start();
    health.updated('IPv4');
    health.queued('IPv4');
    state.now = Date.parse(LATER);
    const own = `"status":{"IPv4":{"lastUpdated":"${BEGIN}","healthy":false}}`;
    const times = `"lastUpdated":"${BEGIN}","currentTime":"${LATER}"`;
    const healthz = await probe('/healthz');
    expect([healthz.status, healthz.body]).toEqual([503, `{${times},"nodeEligible":true,"healthy":false,${own}}`]);
    const livez = await probe('/livez');
    expect([livez.status, livez.body]).toEqual([503, `{${times},"healthy":false,${own}}`]);
  });

  it('turns balancers away from a node that is about to go, which is no reason to restart (P6)', async () => {
    const { state, health, probe, probes } = await start();
    health.updated('IPv4');
    state.isEligible = false;
    const healthz = await probe('/healthz');
    expect(healthz.status).toBe(503);
    expect(JSON.parse(healthz.body)).toMatchObject({ nodeEligible: false, healthy: true, lastUpdated: BEGIN });
    expect((await probe('/livez')).status).toBe(200);
    state.isEligible = true;
    expect((await probe('/healthz')).status).toBe(200);
    expect(probes).toEqual(['healthz 503', 'livez 200', 'healthz 200']);
  });

  it('before any family began is well, and leaves out what it does not know', async () => {
    const { state, probe } = await start();
    expect((await probe('/livez')).body).toBe(`{"lastUpdated":"${BEGIN}","currentTime":"${BEGIN}","healthy":true}`);
    state.isEligible = false;
    expect(JSON.parse((await probe('/healthz')).body)).toMatchObject({ lastUpdated: '0001-01-01T00:00:00Z' });
  });

  it('has nothing else', async () => {
    const { probe } = await start();
    expect((await probe('/')).status).toBe(404);
    expect((await probe('/metrics')).status).toBe(404);
  });
});
