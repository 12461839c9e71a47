import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { de } from "../src/i18n/de.ts";
import { en } from "../src/i18n/en.ts";
import type { Seen } from "../src/lib/sdk.ts";
import { Doorway } from "../src/pages/room/doorway.svelte.ts";

let page: EventTarget & { visibilityState: string };

beforeEach(() => {
  vi.useFakeTimers();
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  vi.stubGlobal("document", page);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("one looks at once, then now and then, and not while nobody looks at the page", async () => {
  const looks: string[] = [];
  const doorway = new Doorway("kitchen", (room) => {
    looks.push(room);
    return Promise.resolve<Seen>({ door: "open", participants: looks.length, names: ["Ann"] });
  });
  const stop = doorway.watch();
  await vi.advanceTimersByTimeAsync(0);
  expect(doorway.seen).toMatchObject({ participants: 1 });
  await vi.advanceTimersByTimeAsync(15_000);
  expect(doorway.seen).toMatchObject({ participants: 2 });
  page.visibilityState = "hidden";
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks).toEqual(["kitchen", "kitchen"]);
  page.visibilityState = "visible";
  page.dispatchEvent(new Event("visibilitychange"));
  expect(looks).toHaveLength(3);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks).toHaveLength(3);
  expect(doorway.seen).toMatchObject({ participants: 2 });
});

test("who is here is said as people say it", () => {
  expect(en.green.here(["Ann"], 1)).toBe("Ann is here.");
  expect(en.green.here(["Ann", "Bo"], 2)).toBe("Ann and Bo are here.");
  expect(en.green.here(["Ann", "Bo", "Cy"], 4)).toBe("Ann, Bo, Cy and 1 other are here.");
  expect(de.green.here(["Ann", "Bo", "Cy"], 9)).toBe("Ann, Bo, Cy und 6 weitere Personen sind da.");
});
