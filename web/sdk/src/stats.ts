// What `getStats` says, in words first. Pure: a report and the sample before it give the next sample and the quality.
import type { PathKind } from "./generated";
import type { Quality, Trouble } from "./types";

/** Counters of one moment; rates are differences of two. */
export interface Sample {
  at: number;
  bytesIn: number;
  bytesOut: number;
  packetsIn: number;
  lostIn: number;
  /** Bytes of video alone. */
  pictureOut: number;
  /** Since when pictures go out without a break; `null` while none do. */
  flowingSince: number | null;
  /** So many samples in a row the encoder was held back by the way out. While the rate still climbs it always is: not counted. */
  narrow: number;
}

export interface Digest {
  quality: Quality;
  path: PathKind | null;
  sample: Sample;
}

export const UNKNOWN_QUALITY: Quality = {
  level: "unknown",
  trouble: "none",
  roundTripMs: null,
  lossIn: null,
  lossOut: null,
  bitsIn: null,
  bitsOut: null,
  jitterMs: null,
  width: null,
  height: null,
  framesPerSecond: null,
  codecs: [],
  localCandidate: null,
  remoteCandidate: null,
  relayProtocol: null,
};

type Entry = Record<string, unknown> & { id: string; type: string };

/**
 * `report` is an RTCStatsReport, or anything else that lists its entries; `from`, who is at the other end of the way it
 * tells of. What is lost between the server and us is not the other participant's doing.
 */
export function digest(
  report: Iterable<[string, unknown]>,
  before: Sample | null,
  now: number,
  from: "participant" | "server" = "participant",
): Digest {
  const entries = new Map<string, Entry>();
  for (const [id, entry] of report) entries.set(id, entry as Entry);
  const all = (type: string): Entry[] => [...entries.values()].filter((entry) => entry.type === type);
  const inbound = all("inbound-rtp");
  const outbound = all("outbound-rtp");
  const heard = all("remote-inbound-rtp");
  const pair = selectedPair(entries, all);
  const limited = limits(outbound);
  const local = entries.get(text(pair?.["localCandidateId"]) ?? "");
  const remote = entries.get(text(pair?.["remoteCandidateId"]) ?? "");
  const pictureOut = sum(
    outbound.filter((entry) => entry["kind"] === "video"),
    "bytesSent",
  );
  const flowingSince = pictureOut > (before?.pictureOut ?? 0) ? (before?.flowingSince ?? now) : null;
  const climbed = flowingSince !== null && now - flowingSince >= CLIMB_MS;
  const sample: Sample = {
    at: now,
    bytesIn: sum(inbound, "bytesReceived"),
    bytesOut: sum(outbound, "bytesSent"),
    packetsIn: sum(inbound, "packetsReceived"),
    lostIn: sum(inbound, "packetsLost"),
    pictureOut,
    flowingSince,
    narrow: climbed && limited.has("bandwidth") ? (before?.narrow ?? 0) + 1 : 0,
  };
  const video = largest(inbound.filter((entry) => entry["kind"] === "video"));
  const roundTrip = number(pair?.["currentRoundTripTime"]) ?? max(heard, "roundTripTime");
  const jitter = max(inbound, "jitter");
  const numbers = {
    ...rates(sample, before),
    roundTripMs: roundTrip === null ? null : Math.round(roundTrip * 1000),
    lossOut: max(heard, "fractionLost"),
    jitterMs: jitter === null ? null : Math.round(jitter * 1000),
    width: number(video?.["frameWidth"]),
    height: number(video?.["frameHeight"]),
    framesPerSecond: number(video?.["framesPerSecond"]),
    codecs: codecs([...inbound, ...outbound], entries),
    localCandidate: text(local?.["candidateType"]),
    remoteCandidate: text(remote?.["candidateType"]),
    relayProtocol: text(local?.["relayProtocol"]),
  };
  const verdict = pair
    ? judge(numbers, { cpu: limited.has("cpu"), narrow: sample.narrow >= NARROW_SAMPLES }, from)
    : { level: "unknown" as const, trouble: "none" as const };
  return { quality: { ...numbers, ...verdict }, path: pathOf(pair, numbers), sample };
}

function selectedPair(entries: Map<string, Entry>, all: (type: string) => Entry[]): Entry | null {
  for (const transport of all("transport")) {
    const pair = entries.get(text(transport["selectedCandidatePairId"]) ?? "");
    if (pair) return pair;
  }
  // Firefox names no pair in the transport.
  const pairs = all("candidate-pair");
  return (
    pairs.find((pair) => pair["selected"] === true) ??
    pairs.find((pair) => pair["nominated"] === true && pair["state"] === "succeeded") ??
    null
  );
}

function pathOf(
  pair: Entry | null,
  { localCandidate, remoteCandidate }: Pick<Quality, "localCandidate" | "remoteCandidate">,
): PathKind | null {
  if (!pair || !localCandidate) return null;
  return localCandidate === "relay" || remoteCandidate === "relay" ? "relay" : "p2p";
}

function rates(sample: Sample, before: Sample | null): Pick<Quality, "bitsIn" | "bitsOut" | "lossIn"> {
  const seconds = before ? (sample.at - before.at) / 1000 : 0;
  // Counters fall when a track or a connection was replaced.
  if (!before || seconds <= 0 || sample.bytesIn < before.bytesIn || sample.bytesOut < before.bytesOut) {
    return { bitsIn: null, bitsOut: null, lossIn: null };
  }
  const lost = Math.max(0, sample.lostIn - before.lostIn);
  const arrived = Math.max(0, sample.packetsIn - before.packetsIn);
  return {
    bitsIn: Math.round(((sample.bytesIn - before.bytesIn) * 8) / seconds),
    bitsOut: Math.round(((sample.bytesOut - before.bytesOut) * 8) / seconds),
    lossIn: lost + arrived === 0 ? 0 : lost / (lost + arrived),
  };
}

type Numbers = Pick<Quality, "lossIn" | "lossOut" | "roundTripMs" | "jitterMs">;

interface Encoder {
  cpu: boolean;
  narrow: boolean;
}

function judge(
  numbers: Numbers,
  encoder: Encoder,
  from: "participant" | "server",
): { level: "good" | "fair" | "poor"; trouble: Trouble } {
  const grade = (value: number | null, fair: number, poor: number): number =>
    value === null || value < fair ? 0 : value < poor ? 1 : 2;
  const out = grade(numbers.lossOut, FAIR_LOSS, POOR_LOSS);
  const incoming = grade(numbers.lossIn, FAIR_LOSS, POOR_LOSS);
  const delay = Math.max(grade(numbers.roundTripMs, 250, 500), grade(numbers.jitterMs, 40, 100));
  const cpu = encoder.cpu ? 1 : 0;
  const narrow = encoder.narrow ? 1 : 0;
  const worst = Math.max(out, incoming, delay, cpu, narrow);
  return { level: (["good", "fair", "poor"] as const)[worst] ?? "poor", trouble: blame() };

  function blame(): Trouble {
    if (worst === 0) return "none";
    if (out > 0 && incoming > 0) return "network";
    if (out === worst) return "your_upload";
    if (incoming === worst) return from === "server" ? "your_download" : "their_upload";
    if (delay === worst) return "network";
    return cpu > 0 ? "device" : "your_upload";
  }
}

function limits(outbound: Entry[]): ReadonlySet<string> {
  return new Set(outbound.map((entry) => text(entry["qualityLimitationReason"]) ?? "none"));
}

function codecs(streams: Entry[], entries: Map<string, Entry>): string[] {
  const names = new Set<string>();
  for (const stream of streams) {
    const mime = text(entries.get(text(stream["codecId"]) ?? "")?.["mimeType"]);
    const name = mime?.split("/")[1];
    if (name) names.add(name);
  }
  return [...names].sort();
}

function largest(streams: Entry[]): Entry | undefined {
  const area = (entry: Entry): number => (number(entry["frameWidth"]) ?? 0) * (number(entry["frameHeight"]) ?? 0);
  return [...streams].sort((a, b) => area(b) - area(a))[0];
}

function sum(entries: Entry[], field: string): number {
  return entries.reduce((total, entry) => total + (number(entry[field]) ?? 0), 0);
}

function max(entries: Entry[], field: string): number | null {
  return entries.reduce<number | null>((most, entry) => {
    const value = number(entry[field]);
    return value === null ? most : Math.max(most ?? value, value);
  }, null);
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

const FAIR_LOSS = 0.03;
const POOR_LOSS = 0.08;
const NARROW_SAMPLES = 5;
/** Congestion control begins at some 300 kbit/s and needs this long to find out what the way out carries. */
const CLIMB_MS = 20_000;
