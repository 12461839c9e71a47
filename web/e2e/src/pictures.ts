// What comes to a page in pictures: counted and measured by the browser itself.
import { expect, type Page } from "@playwright/test";

export interface Picture {
  /** Connection and m-line it comes by. */
  readonly key: string;
  readonly decoded: number;
  readonly height: number;
}

/** Each incoming picture that there has ever been on an open connection. */
export function pictures(page: Page): Promise<Picture[]> {
  return page.evaluate(async () => {
    const found: Picture[] = [];
    for (const [at, connection] of window.spy.connections.entries()) {
      if (connection.connectionState === "closed") continue;
      (await connection.getStats()).forEach((entry: Record<string, unknown>) => {
        if (entry["type"] !== "inbound-rtp" || entry["kind"] !== "video") return;
        const key = `${at} ${String(entry["mid"])}`;
        found.push({ key, decoded: Number(entry["framesDecoded"] ?? 0), height: Number(entry["frameHeight"] ?? 0) });
      });
    }
    return found;
  });
}

/** Those that have moved on by five frames since `before`. */
export function moving(before: readonly Picture[], after: readonly Picture[]): Picture[] {
  const known = new Map(before.map(({ key, decoded }) => [key, decoded]));
  return after.filter(({ key, decoded }) => decoded >= (known.get(key) ?? 0) + 5);
}

/** So many pictures of others move; answers how tall they are. */
export async function sees(
  page: Page,
  count: number,
  isRight: (heights: number[]) => boolean = () => true,
): Promise<void> {
  let before = await pictures(page);
  await expect
    .poll(
      async () => {
        const after = await pictures(page);
        const now = moving(before, after);
        if (now.length < count) return `${now.length} move`;
        before = after;
        const heights = now.map(({ height }) => height);
        return isRight(heights) ? "right" : `heights ${heights.join(", ")}`;
      },
      { message: `${count} pictures move`, timeout: 120_000, intervals: [1_000] },
    )
    .toBe("right");
}
