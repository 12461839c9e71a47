// Tells the call how large each tile is, so that no more comes than is shown. A moving layout is waited for.

import type { Rect } from "../../lib/tiling.ts";
import type { TileView } from "./tiles.ts";

export type Shown = (participant: string, kind: "camera" | "screen", height: number | null) => void;

export class Showing {
  #tell: Shown;
  #told = new Map<string, number>();
  #next: ReadonlyMap<string, number> = new Map();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(tell: Shown) {
    this.#tell = tell;
  }

  /** Device pixels by key of the tile, `p2/camera`. What is not named is gone. */
  show(heights: ReadonlyMap<string, number>): void {
    this.#next = heights;
    this.#timer ??= setTimeout(() => this.#settle(), CALM_MS);
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const key of this.#told.keys()) this.#say(key, null);
    this.#told.clear();
  }

  #settle(): void {
    this.#timer = null;
    for (const key of this.#told.keys()) {
      if (this.#next.has(key)) continue;
      this.#told.delete(key);
      this.#say(key, null);
    }
    for (const [key, height] of this.#next) {
      if (this.#told.get(key) === height) continue;
      this.#told.set(key, height);
      this.#say(key, height);
    }
  }

  #say(key: string, height: number | null): void {
    const [participant = "", kind] = key.split("/");
    this.#tell(participant, kind === "screen" ? "screen" : "camera", height);
  }
}

/** Of each tile of somebody else: how many device pixels of height its picture needs; 0 where it is not shown. */
export function heightsOf(
  tiles: readonly TileView[],
  shown: readonly TileView[],
  rects: readonly Rect[],
  ratio: number,
): Map<string, number> {
  const heights = new Map<string, number>();
  for (const { key, mine } of tiles) if (!mine) heights.set(key, 0);
  for (const [index, { key, mine }] of shown.entries()) {
    const rect = rects[index];
    // The picture covers its tile: the wider of the two sides decides.
    if (rect && !mine) heights.set(key, Math.round(Math.max(rect.height, (rect.width * 9) / 16) * ratio));
  }
  return heights;
}

const CALM_MS = 150;
