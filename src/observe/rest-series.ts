/** Series of requests to the API server, with client-go's names, labels and buckets. */
import { Counter, Histogram, type Registry } from 'prom-client';

export interface Answered {
  readonly method: string;
  readonly host: string;
  /** HTTP status, or `<error>`. */
  readonly code: string;
}

export interface Ended {
  readonly method: string;
  readonly host: string;
  readonly seconds: number;
}

const BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

export const restSeries = (registry: Registry) => ({
  requests: new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server that were answered, or failed',
    labelNames: ['code', 'method', 'host'],
    registers: [registry],
  }),
  durations: new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time from a request to the end of its answer; not of watches, which end when somebody ends them',
    labelNames: ['verb', 'host'],
    buckets: BUCKETS,
    registers: [registry],
  }),
});

export type RestSeries = ReturnType<typeof restSeries>;
