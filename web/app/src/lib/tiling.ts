// Where each picture stands on the stage. Pure geometry: a box and a count in, rectangles out.

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Floats above the others. */
  readonly floating: boolean;
}

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** Width to height of a tile: at most a camera's 16:9, at least 4:3, or upright in an upright box. */
const WIDEST = 16 / 9;
const NARROWEST = 4 / 3;
const NARROWEST_UPRIGHT = 3 / 4;

export const GAP = 12;

/** The smallest tile in which a face can still be told, and the most of them that stay calm to look at. */
const SMALLEST = { wide: { width: 148, height: 83 }, upright: { width: 120, height: 90 } };
const MOST_TILES = 49;

/** How many tiles of a grid find room. */
export function gridCapacity(box: Box): number {
  const least = box.height > box.width ? SMALLEST.upright : SMALLEST.wide;
  for (let count = MOST_TILES; count > 1; count -= 1) {
    const { width, height } = bestTiling(count, box);
    if (width >= least.width && height >= least.height) return count;
  }
  return 1;
}

/** How many stand beside or below a large one. */
export function stripCapacity(box: Box): number {
  const fit = (length: number, each: number): number => Math.max(1, Math.floor((length + GAP) / (each + GAP)));
  return box.width >= box.height ? fit(box.height, SMALLEST.wide.height) : fit(box.width, SMALLEST.upright.height);
}

/** All the same size, as large as they can be, the last row centred. */
export function gridRects(count: number, box: Box): Rect[] {
  const { columns, width, height } = bestTiling(count, box);
  const rows = Math.ceil(count / columns);
  const top = (box.height - rows * height - (rows - 1) * GAP) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, count - row * columns);
    const left = (box.width - inRow * width - (inRow - 1) * GAP) / 2;
    const x = left + (index - row * columns) * (width + GAP);
    return { x: Math.round(x), y: Math.round(top + row * (height + GAP)), width, height, floating: false };
  });
}

/** The one at `focus` large; a second floats in its corner, more stand in a strip beside or below it. */
export function speakerRects(count: number, focus: number, box: Box, mayCover: "may cover" | "keep clear"): Rect[] {
  const whole: Rect = { x: 0, y: 0, ...box, floating: false };
  if (count <= 1) return count === 1 ? [whole] : [];
  if (count === 2 && mayCover === "may cover") {
    return focus === 0 ? [whole, cornerRect(box)] : [cornerRect(box), whole];
  }
  return box.width >= box.height ? sideStrip(count, focus, box) : bottomStrip(count, focus, box);
}

function cornerRect(box: Box): Rect {
  const upright = box.height > box.width;
  const width = Math.round(Math.min(280, Math.max(104, box.width * (upright ? 0.28 : 0.22))));
  const height = Math.round(width / (upright ? NARROWEST_UPRIGHT : WIDEST));
  return { x: box.width - width - GAP, y: box.height - height - GAP, width, height, floating: true };
}

function sideStrip(count: number, focus: number, box: Box): Rect[] {
  const others = count - 1;
  const byHeight = ((box.height - GAP * (others - 1)) / others) * WIDEST;
  const width = Math.floor(Math.min(box.width * 0.24, 300, byHeight));
  const height = Math.floor(width / WIDEST);
  const x = box.width - width;
  const top = Math.max(0, (box.height - others * height - (others - 1) * GAP) / 2);
  const large: Rect = { x: 0, y: 0, width: x - GAP, height: box.height, floating: false };
  return withFocus(count, focus, large, (place) => ({
    x,
    y: Math.round(top + place * (height + GAP)),
    width,
    height,
    floating: false,
  }));
}

function bottomStrip(count: number, focus: number, box: Box): Rect[] {
  const others = count - 1;
  const width = Math.floor(Math.min((box.width - GAP * (others - 1)) / others, box.width * 0.34));
  const height = Math.floor(Math.min(width / NARROWEST, box.height * 0.24));
  const left = Math.max(0, (box.width - others * width - (others - 1) * GAP) / 2);
  const y = box.height - height;
  const large: Rect = { x: 0, y: 0, width: box.width, height: y - GAP, floating: false };
  return withFocus(count, focus, large, (place) => ({
    x: Math.round(left + place * (width + GAP)),
    y,
    width,
    height,
    floating: false,
  }));
}

function withFocus(count: number, focus: number, large: Rect, other: (place: number) => Rect): Rect[] {
  return Array.from({ length: count }, (_, index) => {
    if (index === focus) return large;
    return other(index < focus ? index : index - 1);
  });
}

function bestTiling(count: number, box: Box): { columns: number; width: number; height: number } {
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const { width, height } = tileSize(columns, Math.ceil(count / columns), box);
    if (width * height > best.width * best.height) best = { columns, width, height };
  }
  return best;
}

function tileSize(columns: number, rows: number, box: Box): Box {
  const most = { width: (box.width - GAP * (columns - 1)) / columns, height: (box.height - GAP * (rows - 1)) / rows };
  const width = Math.min(most.width, most.height * WIDEST);
  const height = Math.min(most.height, width / (box.height > box.width ? NARROWEST_UPRIGHT : NARROWEST));
  return { width: Math.max(0, Math.floor(width)), height: Math.max(0, Math.floor(height)) };
}
