// Which tiles stand on which page: everybody keeps the place, and whoever speaks is on the first page. Pure.

/**
 * The order of `keys`: as `before`, newcomers at the end. When the last speaker stands behind the first `room` places, it
 * changes places with whoever there has not spoken for the longest time.
 */
export function seat(
  before: readonly string[],
  keys: readonly string[],
  recent: readonly string[],
  room: number,
): string[] {
  const here = new Set(keys);
  const known = new Set(before);
  const order = [...before.filter((key) => here.has(key)), ...keys.filter((key) => !known.has(key))];
  const speaker = recent.find((key) => here.has(key));
  const at = speaker === undefined ? -1 : order.indexOf(speaker);
  if (speaker === undefined || at < room || room < 1) return order;
  const spoke = (key: string): number => {
    const place = recent.indexOf(key);
    return place === -1 ? Infinity : place;
  };
  let quietest = room - 1;
  for (let place = room - 2; place >= 0; place -= 1) {
    if (spoke(order[place] ?? "") > spoke(order[quietest] ?? "")) quietest = place;
  }
  order[at] = order[quietest] ?? speaker;
  order[quietest] = speaker;
  return order;
}

export interface Page<T> {
  readonly shown: readonly T[];
  readonly page: number;
  readonly pages: number;
}

/** `always` stand on every page, after the others; a page holds `room` in all. */
export function pageOf<T>(others: readonly T[], always: readonly T[], room: number, wanted: number): Page<T> {
  const each = Math.max(1, room - always.length);
  const pages = Math.max(1, Math.ceil(others.length / each));
  const page = Math.min(Math.max(0, wanted), pages - 1);
  return { shown: [...others.slice(page * each, (page + 1) * each), ...always], page, pages };
}
