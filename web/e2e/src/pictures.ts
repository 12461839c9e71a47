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

export interface Sent {
  /** `VP9`. */
  readonly codec: string;
  /** `L2T3_KEY`. */
  readonly mode: string;
  readonly encoded: number;
}

/** Each picture that goes out on an open connection, as its browser tells it. */
export function sent(page: Page): Promise<Sent[]> {
  return page.evaluate(async () => {
    const found: Sent[] = [];
    for (const connection of window.spy.connections) {
      if (connection.connectionState === "closed") continue;
      const report = await connection.getStats();
      report.forEach((entry: Record<string, unknown>) => {
        if (entry["type"] !== "outbound-rtp" || entry["kind"] !== "video") return;
        const codec = report.get(String(entry["codecId"])) as { mimeType?: string } | undefined;
        found.push({
          codec: codec?.mimeType?.replace("video/", "") ?? "",
          mode: String(entry["scalabilityMode"] ?? ""),
          encoded: Number(entry["framesEncoded"] ?? 0),
        });
      });
    }
    return found;
  });
}

/** What has gone out since `before`, in words: `VP9 L2T3_KEY`. */
export function going(before: readonly Sent[], after: readonly Sent[]): string[] {
  const grown = after.filter(({ encoded }, i) => encoded > (before[i]?.encoded ?? 0) + 2);
  return [...new Set(grown.map(({ codec, mode }) => `${codec} ${mode}`.trim()))];
}
