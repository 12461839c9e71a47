import { expect, test } from "vitest";
import type { TurnUsage } from "../src/generated/turn.ts";
import { bars, ceiling, ranking, span } from "../src/lib/relay/usage.ts";

const NOON = Date.UTC(2026, 10, 25, 12, 34, 56);
const HOUR = 3_600_000;

function usage(at: number, up: number, down: number, more: Partial<TurnUsage> = {}): TurnUsage {
  const flow = (bytes: number): { packets: number; bytes: number } => ({ packets: 1, bytes });
  return {
    at,
    sessions: 1,
    seconds: 60,
    up: flow(up),
    down: flow(down),
    min_bytes: 0,
    max_bytes: 0,
    count: 1,
    ...more,
  };
}

test("a time is made of whole steps, the running one included", () => {
  expect(span("day", NOON)).toEqual({ from: Date.UTC(2026, 10, 24, 13), to: Date.UTC(2026, 10, 25, 13), step: "hour" });
  expect(span("hour", NOON).to - span("hour", NOON).from).toBe(HOUR);
  expect(span("month", NOON).to).toBe(Date.UTC(2026, 10, 26));
});

test("every step has its bar, also where nothing was relayed", () => {
  const at = Date.UTC(2026, 10, 25, 11);
  const all = bars("day", NOON, [usage(at, 3, 4), usage(at + 60_000, 1, 0)]);
  expect(all).toHaveLength(24);
  expect(all.find((bar) => bar.at === at)).toEqual({ at, up: 4, down: 4 });
  expect(all.filter(({ up, down }) => up + down > 0)).toHaveLength(1);
});

test("the scale ends at a round number above everything", () => {
  for (const [most, top] of [
    [0, 1000],
    [1, 1],
    [1.2, 2],
    [4_100_000, 5_000_000],
    [7, 10],
    [1_000_000, 1_000_000],
  ] as const)
    expect(ceiling(most), String(most)).toBe(top);
});

test("who has used most comes first, and who has no key is the server itself", () => {
  const lines = ranking([
    usage(0, 1, 1, { key: "a" }),
    usage(0, 9, 9, { key: "" }),
    usage(0, 3, 1, { key: "b", tag: "x" }),
  ]);
  expect(lines.map(({ key, bytes }) => [key, bytes])).toEqual([
    ["", 18],
    ["b", 4],
    ["a", 2],
  ]);
});
