// Which track comes by which slot: sticky, so that a tile does not flicker because somebody else came or went. Pure.

export type Kind = "audio" | "video";

/** A track somebody wants, and how much of it. */
export interface Wish {
  /** Stays the same for the same thing: `p2:camera`. */
  readonly key: string;
  readonly kind: Kind;
  readonly track: string;
  /** Device pixels of the tile. A picture of height 0 is out of sight: it keeps a slot only as long as nobody else needs it. */
  readonly height: number;
  readonly priority: number;
}

/** One m-line that receives. */
export interface Slot {
  readonly kind: Kind;
  wish: Wish | null;
}

/** Gives each wish a slot of its kind. Answers how many are missing. */
export function assign(slots: readonly Slot[], wishes: readonly Wish[]): { audio: number; video: number } {
  const wanted = new Map(wishes.map((wish) => [wish.key, wish]));
  for (const slot of slots) {
    const still = slot.wish && wanted.get(slot.wish.key);
    slot.wish = still?.kind === slot.kind ? still : null;
    if (slot.wish) wanted.delete(slot.wish.key);
  }
  const missing = { audio: 0, video: 0 };
  for (const wish of wanted.values()) {
    if (isOutOfSight(wish)) continue;
    const ofKind = slots.filter(({ kind }) => kind === wish.kind);
    const free =
      ofKind.find(({ wish: taken }) => taken === null) ?? ofKind.find(({ wish: kept }) => isOutOfSight(kept));
    if (free) free.wish = wish;
    else missing[wish.kind] += 1;
  }
  return missing;
}

export function isOutOfSight(wish: Wish | null): boolean {
  return wish?.kind === "video" && wish.height === 0;
}
