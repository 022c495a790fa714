/** Ticks of the time axis in an IANA zone, daylight saving included. */

const S = 1000;
const MIN = 60 * S;
const HOUR = 60 * MIN;
const STEPS_MS = [
  100,
  200,
  500,
  S,
  2 * S,
  5 * S,
  10 * S,
  15 * S,
  30 * S,
  MIN,
  2 * MIN,
  5 * MIN,
  10 * MIN,
  15 * MIN,
  30 * MIN,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  24 * HOUR,
];

export interface TimeTick {
  readonly ms: number; // UTC
  readonly label: string;
  /** First tick of another local day: carries the date. */
  readonly newDay: boolean;
}

/** Local wall time of a zone, with the offset remembered per quarter hour (zones change on quarter hours). */
export class ZoneClock {
  readonly zone: string;
  private readonly format: Intl.DateTimeFormat;
  private readonly short: Intl.DateTimeFormat;
  private quarter = Number.NaN;
  private offset = 0;

  constructor(zone: string) {
    this.zone = zone;
    this.format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    this.short = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "short" });
  }

  /** Local minus UTC, ms. */
  offsetAt(ms: number): number {
    const quarter = Math.floor(ms / (15 * MIN));
    if (quarter !== this.quarter) {
      this.quarter = quarter;
      const at = quarter * 15 * MIN;
      const part: Record<string, number> = {};
      for (const { type, value } of this.format.formatToParts(at)) part[type] = Number(value);
      const local = Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute, part.second);
      this.offset = local - at;
    }
    return this.offset;
  }

  /** HH:MM:SS, with `decimals` of the second. */
  time(ms: number, decimals = 0): string {
    // Half a unit of rounding would show a second that has not come; cut instead.
    const iso = new Date(Math.floor(ms + 1e-6) + this.offsetAt(ms)).toISOString();
    return iso.slice(11, decimals > 0 ? 20 + decimals : 19);
  }

  date(ms: number): string {
    return new Date(ms + this.offsetAt(ms)).toISOString().slice(0, 10);
  }

  /** EST, CET, UTC … at that moment. */
  abbreviation(ms: number): string {
    return this.short.formatToParts(ms).find((p) => p.type === "timeZoneName")?.value ?? this.zone;
  }
}

/** Ticks between two moments, at least `minGapMs` apart, on round local times. */
export function timeTicks(fromMs: number, toMs: number, minGapMs: number, clock: ZoneClock): TimeTick[] {
  const step = STEPS_MS.find((s) => s >= minGapMs) ?? STEPS_MS.at(-1)!;
  const ticks: TimeTick[] = [];
  let day = clock.date(fromMs);
  const decimals = step < S ? 1 : 0;
  // Offsets are whole quarter hours and change between them: walk in UTC, keep what is round on the local clock.
  const walk = gcd(step, 15 * MIN);
  for (let ms = Math.ceil(fromMs / walk) * walk; ms <= toMs; ms += walk) {
    if ((ms + clock.offsetAt(ms)) % step !== 0) continue;
    const date = clock.date(ms);
    const newDay = date !== day;
    day = date;
    const time = step >= MIN ? clock.time(ms).slice(0, 5) : clock.time(ms, decimals);
    ticks.push({ ms, newDay, label: newDay ? `${date.slice(5)} ${time}` : time });
  }
  return ticks;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
