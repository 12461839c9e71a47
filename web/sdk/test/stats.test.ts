import { expect, test } from "vitest";
import { digest, type Digest, type Sample } from "../src/stats";

interface Given {
  bytesIn?: number;
  bytesOut?: number;
  packets?: number;
  lost?: number;
  lossOut?: number;
  roundTrip?: number;
  limit?: string;
  local?: string;
  remote?: string;
}

function report(given: Given): Map<string, unknown> {
  const entries: ({ id: string; type: string } & Record<string, unknown>)[] = [
    { id: "T", type: "transport", selectedCandidatePairId: "P" },
    {
      id: "P",
      type: "candidate-pair",
      localCandidateId: "L",
      remoteCandidateId: "R",
      currentRoundTripTime: given.roundTrip ?? 0.02,
    },
    { id: "L", type: "local-candidate", candidateType: given.local ?? "host" },
    { id: "R", type: "remote-candidate", candidateType: given.remote ?? "srflx" },
    { id: "C", type: "codec", mimeType: "video/VP8" },
    {
      id: "I",
      type: "inbound-rtp",
      kind: "video",
      codecId: "C",
      bytesReceived: given.bytesIn ?? 0,
      packetsReceived: given.packets ?? 0,
      packetsLost: given.lost ?? 0,
      jitter: 0.004,
      frameWidth: 640,
      frameHeight: 360,
      framesPerSecond: 25,
    },
    {
      id: "O",
      type: "outbound-rtp",
      kind: "video",
      bytesSent: given.bytesOut ?? 0,
      qualityLimitationReason: given.limit ?? "none",
    },
    { id: "H", type: "remote-inbound-rtp", kind: "video", fractionLost: given.lossOut ?? 0 },
  ];
  return new Map(entries.map((entry) => [entry.id, entry]));
}

/** Two samples two seconds apart. */
function quality(given: Given): Digest {
  const before = digest(report({}), null, 0).sample;
  return digest(report(given), before, 2_000);
}

test("rates are differences, and need two samples", () => {
  expect(digest(report({ bytesIn: 1_000 }), null, 0).quality).toMatchObject({ bitsIn: null, lossIn: null });
  const { quality: q } = quality({ bytesIn: 250_000, bytesOut: 125_000, packets: 90, lost: 10 });
  expect(q).toMatchObject({ bitsIn: 1_000_000, bitsOut: 500_000, lossIn: 0.1, roundTripMs: 20, jitterMs: 4 });
  expect(q).toMatchObject({ width: 640, height: 360, framesPerSecond: 25, codecs: ["VP8"] });
});

test("counters that fell give no rate", () => {
  const before: Sample = {
    at: 0,
    bytesIn: 9_999,
    bytesOut: 0,
    packetsIn: 0,
    lostIn: 0,
    pictureOut: 0,
    flowingSince: null,
    narrow: 0,
  };
  expect(digest(report({ bytesIn: 1 }), before, 2_000).quality.bitsIn).toBeNull();
});

test.each([
  [{ packets: 100 }, "good", "none"],
  [{ packets: 95, lost: 5 }, "fair", "their_upload"],
  [{ packets: 80, lost: 20 }, "poor", "their_upload"],
  [{ lossOut: 0.2 }, "poor", "your_upload"],
  [{ lossOut: 0.2, packets: 80, lost: 20 }, "poor", "network"],
  [{ roundTrip: 0.6 }, "poor", "network"],
  [{ limit: "cpu" }, "fair", "device"],
])("%j is %s, because of %s", (given, level, trouble) => {
  expect(quality(given).quality).toMatchObject({ level, trouble });
});

/** When the verdict is `fair`, in seconds, if a sample is taken every two; `flows` tells whether pictures go out. */
function fairAt(seconds: number, limit: (at: number) => string, flows: (at: number) => boolean = () => true): number[] {
  let sample: Sample | null = null;
  let bytesOut = 0;
  const fair: number[] = [];
  for (let at = 0; at <= seconds; at += 2) {
    if (flows(at)) bytesOut += 10_000;
    const next: Digest = digest(report({ limit: limit(at), bytesOut }), sample, at * 1_000);
    sample = next.sample;
    if (next.quality.level === "fair") fair.push(at);
  }
  return fair;
}

test("while the sending rate still climbs, an encoder held back is no trouble; one that stays so is", () => {
  expect(fairAt(32, () => "bandwidth")).toEqual([28, 30, 32]);
  expect(fairAt(60, (at) => (at < 18 ? "bandwidth" : "none"))).toEqual([]);
});

test("an encoder held back later is trouble after ten seconds", () => {
  expect(fairAt(70, (at) => (at >= 60 ? "bandwidth" : "none"))).toEqual([68, 70]);
});

test("a camera that was off climbs again", () => {
  const pause = (at: number): boolean => at < 40 || at >= 60;
  expect(fairAt(80, (at) => (at >= 60 ? "bandwidth" : "none"), pause)).toEqual([]);
});

test("a path is relayed when either end is", () => {
  expect(quality({}).path).toBe("p2p");
  expect(quality({ local: "relay" }).path).toBe("relay");
  expect(quality({ remote: "relay" }).path).toBe("relay");
});

test("an empty or foreign report gives no verdict", () => {
  expect(digest(new Map(), null, 0)).toMatchObject({ path: null, quality: { level: "unknown", trouble: "none" } });
  const odd = new Map([["T", { id: "T", type: "transport", selectedCandidatePairId: 7 }]]);
  expect(digest(odd, null, 0).quality.level).toBe("unknown");
});

test("what is lost between the server and us is our way in, and not the doing of whoever sent it", () => {
  const before = digest(report({ packets: 0 }), null, 0).sample;
  const after = report({ packets: 80, lost: 20 });
  expect(digest(after, before, 1_000, "server").quality.trouble).toBe("your_download");
  expect(digest(after, before, 1_000).quality.trouble).toBe("their_upload");
});
