import { expect, test } from "vitest";
import { en } from "../src/i18n/en.ts";
import { mainRoom, numberOf, roomWord, whereIs } from "../src/lib/family.ts";
import type { Room } from "../src/lib/sdk.ts";
import { addressOf, tokenOf } from "../src/lib/token.ts";

const breakouts = [
  { name: "kitchen-1", participants: [{ id: "p1", name: "Ann" }] },
  { name: "kitchen-2", participants: [{ id: "p1", name: "Bob" }] },
];
const main = { name: "kitchen", breakouts } as unknown as Room;
const second = { ...main, name: "kitchen-2", parent: "kitchen" };

test("rooms of a family are counted from the main one", () => {
  expect([numberOf(main, "kitchen"), numberOf(main, "kitchen-2"), numberOf(null, "kitchen")]).toEqual([null, 2, null]);
  expect([mainRoom(main), mainRoom(second)]).toEqual(["kitchen", "kitchen"]);
  expect(roomWord(second, "kitchen-1", en.family)).toBe("room 1");
  expect(roomWord(second, "kitchen", en.family)).toBe("the main room");
});

test("where somebody has gone is told by name, unless two rooms have one of that name", () => {
  expect(whereIs(main, "Ann")).toBe("kitchen-1");
  expect(whereIs(main, "Eve")).toBeNull();
  expect(whereIs(second, "Eve")).toBe("kitchen");
  const twins = {
    ...main,
    breakouts: breakouts.map((each) => ({ ...each, participants: [{ id: "p1", name: "Ann" }] })),
  };
  expect(whereIs(twins, "Ann")).toBeNull();
});

test("a token is read in any order, and goes with the key from one room of the family to another", () => {
  expect(tokenOf("#key=k&token=a.b.c")).toBe("a.b.c");
  expect(tokenOf("#token=a.b.c&key=k")).toBe("a.b.c");
  expect([tokenOf(""), tokenOf("#token="), tokenOf("#key=k")]).toEqual([null, null, null]);
  expect(addressOf("/r/kitchen-1", "#token=a.b.c&key=k")).toBe("/r/kitchen-1#key=k&token=a.b.c");
  expect(addressOf("/r/kitchen-1", "#token=a.b.c")).toBe("/r/kitchen-1#token=a.b.c");
  expect(addressOf("/r/kitchen-1", "")).toBe("/r/kitchen-1");
});
