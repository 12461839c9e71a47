// Storage may hold anything: another version's, another tab's, a curious person's.
import { expect, test } from "vitest";
import { parsePreferences } from "../src/lib/preferences.ts";
import { parseRecent } from "../src/lib/recent.ts";
import { parseStay } from "../src/lib/stay.ts";

const JUNK: readonly unknown[] = [null, 7, "text", true, [], {}, { name: 7, at: "now" }, [null, { name: "" }]];

test.each(JUNK.map((junk) => [JSON.stringify(junk), junk]))("%s is no reason to fail", (_, junk) => {
  expect(parsePreferences(junk)).toMatchObject({ name: "", hideAddress: false });
  expect(parseRecent(junk)).toEqual([]);
  expect(parseStay(junk)).toBeNull();
});

test("each preference is taken if it is of the right kind", () => {
  const read = parsePreferences({ name: "Ann", hideAddress: true, cameraOn: "yes", microphoneId: "x".repeat(600) });
  expect(read).toMatchObject({ name: "Ann", hideAddress: true, cameraOn: true, microphoneId: "" });
});

test("of the recent rooms five are kept", () => {
  const rooms = Array.from({ length: 9 }, (_, at) => ({ name: `room-${at}`, at }));
  expect(parseRecent(rooms)).toHaveLength(5);
});

test("a recent room keeps the key that stands in its link", () => {
  const room = { name: "a", at: 1, key: "q83vEjRWeJCrze8SNFZ4kA" };
  expect(parseRecent([room, { ...room, key: 7 }, { ...room, key: "x".repeat(200) }])).toEqual([room]);
});

test("what a reload needs comes back whole", () => {
  const stay = { room: "a", parent: "b", name: "Ann", hideAddress: true, microphone: true, camera: false, since: 1 };
  expect(parseStay(JSON.parse(JSON.stringify(stay)))).toEqual(stay);
  expect(parseStay({ ...stay, parent: 7 })).toEqual({ ...stay, parent: null });
});
