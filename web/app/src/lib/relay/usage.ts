// Usage as the charts show it: every step of a time, also those in which nothing was relayed.
import type { TurnStep, TurnUsage } from "../../generated/turn.ts";

export type Range = "hour" | "day" | "week" | "month";

export const RANGES: readonly Range[] = ["hour", "day", "week", "month"];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const SHAPES: Record<Range, { step: TurnStep; length: number; steps: number }> = {
  hour: { step: "minute", length: MINUTE, steps: 60 },
  day: { step: "hour", length: HOUR, steps: 24 },
  week: { step: "hour", length: HOUR, steps: 168 },
  month: { step: "day", length: DAY, steps: 30 },
};

/** What to ask for: whole steps, the running one included. */
export function span(range: Range, now: number): { from: number; to: number; step: TurnStep } {
  const { step, length, steps } = SHAPES[range];
  const to = (Math.floor(now / length) + 1) * length;
  return { from: to - steps * length, to, step };
}

export interface Bar {
  readonly at: number;
  readonly up: number;
  readonly down: number;
}

/** One bar for each step of the time. */
export function bars(range: Range, now: number, usage: readonly TurnUsage[]): Bar[] {
  const { from, to } = span(range, now);
  const { length } = SHAPES[range];
  const sums = new Map<number, { up: number; down: number }>();
  for (const { at, up, down } of usage) {
    const start = Math.floor(at / length) * length;
    const sum = sums.get(start) ?? { up: 0, down: 0 };
    sums.set(start, { up: sum.up + up.bytes, down: sum.down + down.bytes });
  }
  const all: Bar[] = [];
  for (let at = from; at < to; at += length) all.push({ at, ...(sums.get(at) ?? { up: 0, down: 0 }) });
  return all;
}

/** The top of the scale: the next of 1, 2, 5 with as many noughts as needed. */
export function ceiling(most: number): number {
  if (most <= 0) return 1000;
  const nought = 10 ** Math.floor(Math.log10(most));
  const digit = [1, 2, 5, 10].find((digit) => digit * nought >= most) ?? 10;
  return digit * nought;
}

export interface Line {
  readonly key: string;
  readonly tag: string | undefined;
  readonly bytes: number;
  readonly sessions: number;
  readonly seconds: number;
}

/** Who has used most, first. */
export function ranking(usage: readonly TurnUsage[]): Line[] {
  const lines = usage.map(({ key, tag, up, down, sessions, seconds }) => ({
    key: key ?? "",
    tag,
    bytes: up.bytes + down.bytes,
    sessions,
    seconds,
  }));
  return lines.sort((a, b) => b.bytes - a.bytes || a.key.localeCompare(b.key));
}
