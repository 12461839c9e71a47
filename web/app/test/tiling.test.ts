import { expect, test } from "vitest";
import { GAP, gridCapacity, gridRects, speakerRects, stripCapacity, type Rect } from "../src/lib/tiling.ts";

const WIDE = { width: 1400, height: 740 };
const UPRIGHT = { width: 374, height: 690 };

test("four stand two by two, in the middle", () => {
  const rects = gridRects(4, WIDE);
  expect(new Set(rects.map(({ x }) => x)).size).toBe(2);
  expect(new Set(rects.map(({ y }) => y)).size).toBe(2);
  const left = Math.min(...rects.map(({ x }) => x));
  const right = WIDE.width - Math.max(...rects.map(({ x, width }) => x + width));
  expect(Math.abs(left - right)).toBeLessThanOrEqual(1);
});

test("two on a phone stand above each other", () => {
  const [first, second] = gridRects(2, UPRIGHT);
  expect(first?.x).toBe(second?.x);
  expect(second?.y).toBeGreaterThan((first?.y ?? 0) + (first?.height ?? 0));
});

test("an odd last one is centred in its row", () => {
  const rects = gridRects(3, WIDE);
  const last = rects[2];
  expect(last === undefined ? 0 : last.x + last.width / 2).toBeCloseTo(WIDE.width / 2, -1);
});

test("in the speaker layout the second of two floats in the corner of the first", () => {
  const [own, other] = speakerRects(2, 1, WIDE, "may cover");
  expect(other).toMatchObject({ x: 0, y: 0, ...WIDE, floating: false });
  expect(own?.floating).toBe(true);
});

test("a shared screen is covered by nobody", () => {
  const rects = speakerRects(2, 0, WIDE, "keep clear");
  expect(rects.every(({ floating }) => !floating)).toBe(true);
  expect(overlaps(rects)).toBe(false);
});

test.each([1, 2, 3, 4, 5, 9, 16])("%i tiles stay inside the stage and apart", (count) => {
  for (const box of [WIDE, UPRIGHT]) {
    for (const rects of [gridRects(count, box), speakerRects(count, count - 1, box, "keep clear")]) {
      expect(rects).toHaveLength(count);
      expect(overlaps(rects)).toBe(false);
      for (const { x, y, width, height } of rects) {
        expect(x).toBeGreaterThanOrEqual(0);
        expect(y).toBeGreaterThanOrEqual(0);
        expect(x + width).toBeLessThanOrEqual(box.width + 1);
        expect(y + height).toBeLessThanOrEqual(box.height + 1);
      }
    }
  }
});

test("a stage without room gives empty tiles, not negative ones", () => {
  for (const { width, height } of gridRects(3, { width: GAP, height: 0 })) {
    expect(width).toBeGreaterThanOrEqual(0);
    expect(height).toBeGreaterThanOrEqual(0);
  }
});

function overlaps(rects: readonly Rect[]): boolean {
  return rects.some((a, i) =>
    rects.some(
      (b, j) => i < j && a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height,
    ),
  );
}

test("as many as there is room for stand in a grid, at most 49, and none is too small to be told", () => {
  expect(gridCapacity({ width: 1_900, height: 950 })).toBe(49);
  expect(gridCapacity({ width: 10_000, height: 10_000 })).toBe(49);
  expect(gridCapacity({ width: 10, height: 10 })).toBe(1);
  for (const box of [WIDE, UPRIGHT, { width: 360, height: 560 }]) {
    const rects = gridRects(gridCapacity(box), box);
    expect(rects.every(({ width, height }) => width >= 120 && height >= 83)).toBe(true);
  }
});

test("beside a large one stand as many as find room", () => {
  for (const box of [WIDE, UPRIGHT]) {
    const rects = speakerRects(stripCapacity(box) + 1, 0, box, "keep clear");
    expect(rects.every(({ width, height }) => width >= 60 && height >= 60)).toBe(true);
  }
  expect(stripCapacity({ width: 10, height: 5 })).toBe(1);
});
