// What a browser itself says about its connections.
import { expect, type Page } from "@playwright/test";

export interface Flow {
  /** Frames decoded of all incoming pictures. */
  readonly frames: number;
  readonly audioPackets: number;
  /** How many incoming pictures there are. */
  readonly pictures: number;
  readonly pairs: readonly Pair[];
}

export interface Pair {
  readonly local: string;
  readonly remote: string;
  readonly relayProtocol: string | null;
  /** The relay it goes by. */
  readonly url: string | null;
}

/** Sums over all open peer connections of the page. */
export function flow(page: Page): Promise<Flow> {
  return page.evaluate(async () => {
    const total = {
      frames: 0,
      audioPackets: 0,
      pictures: 0,
      pairs: [] as { local: string; remote: string; relayProtocol: string | null; url: string | null }[],
    };
    for (const connection of window.spy.connections) {
      if (connection.connectionState === "closed") continue;
      const report = await connection.getStats();
      const byId = (id: string): Record<string, unknown> => (report.get(id) ?? {}) as Record<string, unknown>;
      report.forEach((entry: Record<string, unknown>) => {
        if (entry["type"] === "inbound-rtp" && entry["kind"] === "video") {
          total.pictures += 1;
          total.frames += Number(entry["framesDecoded"] ?? 0);
        }
        if (entry["type"] === "inbound-rtp" && entry["kind"] === "audio")
          total.audioPackets += Number(entry["packetsReceived"] ?? 0);
        if (entry["type"] === "transport" && entry["selectedCandidatePairId"]) {
          const pair = byId(String(entry["selectedCandidatePairId"]));
          const local = byId(String(pair["localCandidateId"]));
          total.pairs.push({
            local: String(local["candidateType"]),
            remote: String(byId(String(pair["remoteCandidateId"]))["candidateType"]),
            relayProtocol: typeof local["relayProtocol"] === "string" ? local["relayProtocol"] : null,
            url: typeof local["url"] === "string" ? local["url"] : null,
          });
        }
      });
    }
    return total;
  });
}

/** Waits until at least 10 more frames and audio packets have come in than there are now. */
export async function advances(
  page: Page,
  what: readonly ("frames" | "audioPackets")[] = ["frames", "audioPackets"],
): Promise<void> {
  let before = await flow(page);
  await expect
    .poll(
      async () => {
        const after = await flow(page);
        // A connection that was closed in between takes its figures along: count from there.
        if (what.some((key) => after[key] < before[key])) before = after;
        return what.every((key) => after[key] >= before[key] + 10);
      },
      { message: `${what.join(" and ")} advance`, timeout: 60_000, intervals: [250] },
    )
    .toBe(true);
}

/** `typ` of candidate attributes. */
export function types(candidates: readonly string[]): string[] {
  return [...new Set(candidates.map((candidate) => / typ (\w+)/.exec(candidate)?.[1] ?? candidate))].sort();
}
