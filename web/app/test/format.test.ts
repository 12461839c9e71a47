import { expect, test } from "vitest";
import { ago, bitrate, bytes, clock, duration, percent } from "../src/lib/format.ts";

test("the timer counts minutes, and hours only once there is one", () => {
  expect(clock(0)).toBe("0:00");
  expect(clock(247_900)).toBe("4:07");
  expect(clock(3_847_000)).toBe("1:04:07");
  expect(clock(-5)).toBe("0:00");
});

test("a duration is written with at most two units", () => {
  expect(duration(0, "en")).toBe("0 seconds");
  expect(duration(61_000, "en")).toBe("1 minute, 1 second");
  expect(duration(3_600_000, "en")).toBe("1 hour");
  expect(duration(3_661_000, "de")).toBe("1 Stunde, 1 Minute");
});

test("sizes and rates are written in steps of a thousand", () => {
  expect(bytes(0, "en")).toBe("0 bytes");
  expect(bytes(999_000, "en")).toBe("999 kB");
  expect(bytes(20_400_000, "de")).toBe("20,4 MB");
  expect(bitrate(64_000, "en")).toBe("64 kbit/s");
  expect(bitrate(1_840_000, "en")).toBe("1.8 Mbit/s");
  expect(percent(0.0123, "en")).toBe("1.2%");
});

test("a moment ago is told in the largest unit that says something", () => {
  const now = Date.UTC(2026, 10, 22, 12);
  expect(ago(now - 5 * 60_000, now, "en")).toBe("5 minutes ago");
  expect(ago(now - 26 * 3_600_000, now, "en")).toBe("yesterday");
  expect(ago(now - 3 * 3_600_000, now, "de")).toBe("vor 3 Stunden");
});
