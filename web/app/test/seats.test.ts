import { expect, test } from "vitest";
import { pageOf, seat } from "../src/lib/seats.ts";

test("everybody keeps the place when others come and go", () => {
  expect(seat([], ["a", "b", "c"], [], 2)).toEqual(["a", "b", "c"]);
  expect(seat(["a", "b", "c"], ["d", "c", "a"], [], 2)).toEqual(["a", "c", "d"]);
});

test("whoever speaks on the first page stays where it is", () => {
  expect(seat(["a", "b", "c"], ["a", "b", "c"], ["b", "c"], 2)).toEqual(["a", "b", "c"]);
});

test("whoever speaks on a later page changes places with the one who has been quiet the longest", () => {
  const all = ["a", "b", "c", "d"];
  // Of those who have never spoken the last one goes.
  expect(seat(all, all, ["d"], 3)).toEqual(["a", "b", "d", "c"]);
  expect(seat(all, all, ["d", "c", "a"], 3)).toEqual(["a", "d", "c", "b"]);
  expect(seat(all, all, ["d", "b", "c", "a"], 3)).toEqual(["d", "b", "c", "a"]);
});

test("a speaker who has left, or nobody at all, moves nothing", () => {
  expect(seat(["a", "b"], ["a", "b"], ["gone"], 1)).toEqual(["a", "b"]);
  expect(seat([], [], ["gone"], 1)).toEqual([]);
  expect(seat(["a", "b"], ["a", "b"], ["b"], 0)).toEqual(["a", "b"]);
});

test("what always stands there does so on every page, and a page that is gone is the last one", () => {
  const others = ["a", "b", "c", "d", "e"];
  expect(pageOf(others, ["me"], 3, 0)).toEqual({ shown: ["a", "b", "me"], page: 0, pages: 3 });
  expect(pageOf(others, ["me"], 3, 9)).toEqual({ shown: ["e", "me"], page: 2, pages: 3 });
  expect(pageOf(others, ["me"], 6, 0)).toEqual({ shown: [...others, "me"], page: 0, pages: 1 });
  expect(pageOf([], ["me"], 1, 0)).toEqual({ shown: ["me"], page: 0, pages: 1 });
  // A stage without room for anything shows one at least.
  expect(pageOf(others, ["me"], 0, 1)).toMatchObject({ shown: ["b", "me"], pages: 5 });
});
