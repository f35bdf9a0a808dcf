/**
 * Durations as Go writes them (`1h30m`, `1.5s`, `100ms`), to milliseconds and back.
 *
 * Flags and KubeProxyConfiguration both carry this form. Knows nothing of what a duration is for.
 */

const NANOSECONDS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5, the micro sign
  μs: 1_000n, // U+03BC, the Greek letter
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const TERM = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/gy;

/** Go keeps a duration in a signed 64-bit number of nanoseconds and refuses what does not fit. */
const MAX_NANOSECONDS = 2n ** 63n - 1n;

/** Milliseconds, possibly fractional or negative; undefined when the text is no Go duration. A bare `0` is one. */
export const parseDuration = (text: string): number | undefined => {
  const [, sign = '', terms = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (terms === '0') return 0;
  let nanoseconds = 0n;
  let end = 0;
  for (const [term, whole = '', fraction = '', unit = ''] of terms.matchAll(TERM)) {
    if (whole === '' && fraction === '') return undefined;
    const scale = NANOSECONDS[unit] ?? 0n;
    nanoseconds += BigInt(whole) * scale + (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
    end += term.length;
  }
  if (end === 0 || end !== terms.length || nanoseconds > MAX_NANOSECONDS) return undefined;
  const milliseconds = Number(nanoseconds / 1_000_000n) + Number(nanoseconds % 1_000_000n) / 1e6;
  return sign === '-' && milliseconds !== 0 ? -milliseconds : milliseconds;
};

/** `123.4500` → `123.45`, `7.000` → `7`. */
const decimal = (value: bigint, unit: bigint): string => {
  const digits = String(unit).length - 1;
  const fraction = String(value % unit)
    .padStart(digits, '0')
    .replace(/0+$/, '');
  return `${value / unit}${fraction === '' ? '' : `.${fraction}`}`;
};

/** The text that Go prints for a duration: `24h0m0s`, `1.5s`, `100ms`, `0s`. Takes milliseconds. */
export const formatDuration = (milliseconds: number): string => {
  if (milliseconds < 0) return `-${formatDuration(-milliseconds)}`;
  const whole = Math.trunc(milliseconds);
  const nanoseconds = BigInt(whole) * 1_000_000n + BigInt(Math.round((milliseconds - whole) * 1e6));
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 1_000n)}µs`;
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 1_000_000n)}ms`;
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 1_000_000_000n)}s`;
  const minutes = nanoseconds / 60_000_000_000n;
  if (minutes === 0n) return seconds;
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`;
};
