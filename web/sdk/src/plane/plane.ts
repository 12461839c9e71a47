// The connection to the server's media plane: what we send goes up once, what we show comes down by slots.
//
//   m-line: data · microphone · camera (simulcast) · screen · sound of the screen · slots …
//
// Only we offer. Turning something on or off is a `replaceTrack`; who is shown in which slot is said by `watch`; there is a
// new offer only when slots are missing, and when ICE begins anew.
import { CallError, quiet } from "../errors";
import type { Deps } from "../deps";
import { readableOf, type MediaEncryption, type Watched } from "../encryption/media";
import type { IceServer, Sends, Slot as SlotFrame, Source } from "../generated";
import { loudness } from "../level";
import type { Tracks } from "../peer/connection";
import { Recovery } from "../peer/recovery";
import type { ConnectionState } from "../peer/connection";
import type { Roster } from "../roster";
import type { Request } from "../session";
import { digest, UNKNOWN_QUALITY, type Sample } from "../stats";
import type { Quality } from "../types";
import type { Lanes } from "./lanes";
import { assign, type Kind, type Slot } from "./slots";
import { wishesOf } from "./wishes";

export interface PlanePort {
  request(frame: Request): Promise<void>;
  changed(): void;
  beforeRestart(): Promise<void>;
}

/** What comes of one participant. */
export interface Forwarded {
  readonly connection: ConnectionState;
  readonly camera: MediaStream | null;
  readonly screen: MediaStream | null;
  readonly quality: Quality;
  readonly level: number;
  /** Everything that is on has begun to flow. */
  readonly flows: boolean;
  /** By the key of an encrypted call; `null`: nothing has come yet, or there is none. */
  readonly readable: boolean | null;
}

type PlaneDeps = Pick<Deps, "timers" | "createStream" | "createPeerConnection">;

/** A slot with its m-line. */
interface Line extends Slot {
  readonly transceiver: RTCRtpTransceiver;
  /** Of its present wish: something has come. `null`: not looked at yet. */
  before: number | null;
  flows: boolean;
  /** What the server was told last. */
  told: string;
  /** In an encrypted call. */
  readonly watched: Watched | null;
}

interface Streams {
  key: string;
  stream: MediaStream | null;
}

export class Plane {
  #deps: PlaneDeps;
  #port: PlanePort;
  #lanes: Lanes;
  #pc: RTCPeerConnection | null = null;
  #recovery: Recovery | null = null;
  #senders: RTCRtpTransceiver[] = [];
  #lines: Line[] = [];
  #roster: Roster | null = null;
  #tracks: Tracks = { microphone: null, camera: null, screen: null, screenSound: null };
  #iceServers: IceServer[] = [];
  #encryption: MediaEncryption | null = null;
  #heights = new Map<string, number>();
  #streams = new Map<string, Streams>();
  #samples = new Map<string, { sample: Sample; quality: Quality }>();
  #negotiating: Promise<void> | null = null;
  #again = false;
  #answer: string | null = null;
  #looking = false;
  #cancelRetry: (() => void) | null = null;

  constructor(deps: PlaneDeps, lanes: Lanes, port: PlanePort) {
    this.#deps = deps;
    this.#lanes = lanes;
    this.#port = port;
  }

  get isOpen(): boolean {
    return this.#pc !== null;
  }

  /** Only before the first roster. */
  setEncryption(encryption: MediaEncryption | null): void {
    this.#encryption = encryption;
  }

  setIceServers(iceServers: IceServer[]): void {
    this.#iceServers = iceServers;
    try {
      this.#pc?.setConfiguration(this.#config());
    } catch {
      // Servers this browser does not take; it goes on with those it has.
    }
  }

  setTracks(tracks: Tracks): void {
    this.#tracks = tracks;
    this.#applyTracks();
  }

  /** How tall a tile is, in device pixels: `p2:camera`, `p2:screen`. 0: it cannot be seen. */
  setHeight(key: string, height: number | null): void {
    const rounded = height === null ? null : Math.ceil(height / STEP) * STEP;
    if (this.#heights.get(key) === (rounded ?? undefined)) return;
    if (rounded === null) this.#heights.delete(key);
    else this.#heights.set(key, rounded);
    this.#sync();
  }

  setRoster(roster: Roster): void {
    this.#roster = roster;
    const me = roster.participants.find(({ id }) => id === roster.you);
    const wanted = roster.limits.sfu && roster.room.topology === "sfu" && me !== undefined && me.state !== "ringing";
    if (wanted && !this.#pc) this.#open();
    this.#sync();
  }

  /** The server knows nothing of our connection any more: another one takes its place. */
  handleLost(): void {
    if (!this.#pc) return;
    this.#drop();
    if (this.#roster?.room.topology === "sfu") this.#open();
    this.#port.changed();
  }

  handleAnswer(sdp: string): void {
    this.#answer = sdp;
  }

  /** So many of the sizes of a track of ours are wanted by somebody. */
  handleWatched(track: string, layers: number): void {
    const me = this.#roster?.participants.find(({ id }) => id === this.#roster?.you);
    const source = me?.tracks.find(({ id }) => id === track)?.source;
    const sender = this.#senders[SOURCES.findIndex((each) => each === source)]?.sender;
    if (sender) quiet(setLayers(sender, layers));
  }

  nudge(): void {
    this.#recovery?.nudge();
  }

  /** What comes of somebody through the server; `null`: nothing, there is no connection. */
  of(id: string): Forwarded | null {
    if (!this.#pc || !this.#recovery) return null;
    const lines = this.#linesOf(id);
    const microphone = lines.find(({ wish }) => wish?.key === `${id}:microphone`);
    const source = microphone?.transceiver.receiver.getSynchronizationSources?.()[0];
    return {
      connection: this.#recovery.state,
      camera: this.#stream(id, "camera", ["microphone", "camera"]),
      screen: this.#stream(id, "screen", ["screen", "screen_audio"]),
      quality: this.#samples.get(id)?.quality ?? UNKNOWN_QUALITY,
      level: loudness(source?.audioLevel ?? 0),
      flows: this.#recovery.state === "connected" && this.#isSettledFor(id) && lines.every(({ flows }) => flows),
      readable: readableOf(lines.map(({ watched }) => watched)),
    };
  }

  /** Looks whether what was asked for has begun to come. */
  look(): void {
    const waiting = this.#lines.filter(({ wish, flows }) => wish && !flows);
    if (!this.#pc || this.#looking || waiting.length === 0) return;
    const pc = this.#pc;
    this.#looking = true;
    const looked = pc.getStats().then((report) => {
      this.#looking = false;
      if (this.#pc !== pc) return;
      const counts = countsOf(report);
      let changed = false;
      for (const line of waiting) {
        const count = counts.get(line.transceiver.mid ?? "") ?? 0;
        if (line.before === null) line.before = count;
        else if (count > line.before) changed = line.flows = true;
      }
      if (changed) this.#port.changed();
    });
    quiet(looked);
  }

  sampleStats(): void {
    const pc = this.#pc;
    const roster = this.#roster;
    if (!pc || !roster || this.#recovery?.state !== "connected") return;
    const now = this.#deps.timers.now();
    const sampled = pc.getStats().then((report) => {
      if (this.#pc !== pc) return;
      const entries = [...(report as unknown as Iterable<[string, Record<string, unknown>]>)];
      for (const { id } of roster.participants) {
        const mids = new Set(this.#linesOf(id).map(({ transceiver }) => transceiver.mid));
        const own = entries.filter(([, entry]) => entry["type"] !== "inbound-rtp" || mids.has(String(entry["mid"])));
        const { quality, sample } = digest(own, this.#samples.get(id)?.sample ?? null, now);
        this.#samples.set(id, { quality, sample });
      }
      this.#port.changed();
    });
    quiet(sampled);
  }

  /** It is needed no more. */
  close(): void {
    if (!this.#pc) return;
    this.#drop();
    quiet(this.#port.request({ type: "media_close" }));
  }

  /** The same where the server knows nothing of it, or is not to be asked. */
  abandon(): void {
    this.#drop();
    this.#roster = null;
    this.#heights.clear();
  }

  // ── the connection ──

  #open(): void {
    try {
      this.#pc = this.#deps.createPeerConnection(this.#config());
    } catch {
      // No WebRTC here: the call goes on without media.
      return;
    }
    const pc = this.#pc;
    this.#recovery = new Recovery(pc, true, this.#deps.timers, {
      changed: () => this.#port.changed(),
      restart: () => quiet(this.#restart()),
    });
    this.#lanes.open(pc);
    const send = (kind: Kind, sendEncodings?: RTCRtpEncodingParameters[]): RTCRtpTransceiver =>
      pc.addTransceiver(kind, sendEncodings ? { direction: "sendonly", sendEncodings } : { direction: "sendonly" });
    this.#senders = [
      send("audio"),
      send(
        "video",
        CAMERA.map((each) => ({ ...each })),
      ),
      send("video"),
      send("audio"),
    ];
    for (const [i, transceiver] of this.#senders.entries())
      this.#encryption?.protectSender(transceiver, KINDS[i] ?? "video");
    this.#applyTracks();
    this.#grow({ audio: FIRST_SLOTS, video: FIRST_SLOTS });
    this.#negotiate();
  }

  #config(): RTCConfiguration {
    const config: RTCConfiguration = { iceServers: this.#iceServers, bundlePolicy: "max-bundle" };
    return this.#encryption?.config(config) ?? config;
  }

  #drop(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#recovery?.stop();
    this.#recovery = null;
    this.#lanes.close();
    this.#pc?.close();
    this.#pc = null;
    this.#senders = [];
    for (const { watched } of this.#lines) watched?.stop();
    this.#lines = [];
    this.#streams.clear();
    this.#samples.clear();
    this.#again = false;
    this.#negotiating = null;
  }

  #grow(by: { audio: number; video: number }): void {
    const pc = this.#pc;
    if (!pc) return;
    for (const kind of ["audio", "video"] as const) {
      for (let i = 0; i < by[kind]; i += 1) {
        const transceiver = pc.addTransceiver(kind, { direction: "recvonly" });
        if (kind === "video") preferFew(transceiver);
        const watched = this.#encryption?.protectReceiver(transceiver, kind) ?? null;
        this.#lines.push({ kind, transceiver, wish: null, before: null, flows: false, told: "", watched });
      }
    }
  }

  /** One offer at a time; what has changed meanwhile goes into the next. */
  #negotiate(): void {
    if (this.#negotiating) {
      this.#again = true;
      return;
    }
    const pc = this.#pc;
    if (!pc) return;
    const round = this.#offer(pc)
      .catch((error: unknown) => this.#onRefused(pc, error))
      .finally(() => {
        if (this.#pc !== pc) return;
        this.#negotiating = null;
        if (this.#again) {
          this.#again = false;
          this.#negotiate();
        } else this.#sync();
      });
    this.#negotiating = round;
  }

  async #offer(pc: RTCPeerConnection): Promise<void> {
    await pc.setLocalDescription();
    const sdp = pc.localDescription?.sdp ?? "";
    const sends: Sends[] = this.#senders.map(({ mid }, i) => ({ mid: mid ?? "", source: SOURCES[i] ?? "camera" }));
    this.#answer = null;
    await this.#port.request({ type: "media_offer", sdp, sends });
    // The answer comes before the reply.
    if (this.#pc === pc && this.#answer !== null) await pc.setRemoteDescription({ type: "answer", sdp: this.#answer });
  }

  #onRefused(pc: RTCPeerConnection, error: unknown): void {
    if (this.#pc !== pc) return;
    if (error instanceof CallError && FINAL.has(error.reason)) return;
    this.#cancelRetry = this.#deps.timers.after(RETRY_MS, () => {
      if (this.#pc === pc) this.handleLost();
    });
  }

  async #restart(): Promise<void> {
    await this.#port.beforeRestart().catch(() => undefined);
    if (!this.#pc?.remoteDescription) return;
    this.#pc.restartIce();
    this.#negotiate();
  }

  // ── what is sent, and what comes ──

  #applyTracks(): void {
    const { microphone, camera, screen, screenSound } = this.#tracks;
    for (const [i, track] of [microphone, camera, screen, screenSound].entries()) {
      const sender = this.#senders[i]?.sender;
      if (sender && sender.track !== track) quiet(sender.replaceTrack(track));
    }
  }

  #sync(): void {
    if (!this.#pc || !this.#roster) return;
    const before = this.#lines.map(({ wish }) => wish);
    const missing = assign(this.#lines, wishesOf(this.#roster, this.#heights));
    for (const [i, line] of this.#lines.entries()) {
      if (line.wish?.key === before[i]?.key && line.wish?.track === before[i]?.track) continue;
      line.before = null;
      line.flows = false;
      line.watched?.begin();
    }
    this.#tell();
    if (missing.audio > 0 || missing.video > 0) {
      const rounded = (number: number): number => Math.ceil(number / SLOTS) * SLOTS;
      this.#grow({ audio: rounded(missing.audio), video: rounded(missing.video) });
      this.#negotiate();
    }
    this.#port.changed();
  }

  #tell(): void {
    const slots: SlotFrame[] = [];
    for (const line of this.#lines) {
      const mid = line.transceiver.mid;
      // Not agreed on yet: it is told when it is.
      if (mid === null || line.transceiver.currentDirection === null) continue;
      const { track, height, priority } = line.wish ?? { track: null, height: 0, priority: 0 };
      const told = JSON.stringify([track, height, priority]);
      if (told === line.told || (line.told === "" && track === null)) continue;
      line.told = told;
      slots.push({ mid, track, height: Math.min(height, MOST_HEIGHT), priority });
    }
    if (slots.length > 0) quiet(this.#port.request({ type: "watch", slots }));
  }

  #linesOf(id: string): Line[] {
    return this.#lines.filter(({ wish }) => wish?.key.startsWith(`${id}:`));
  }

  /** Everything of somebody that is on has a slot. */
  #isSettledFor(id: string): boolean {
    if (!this.#roster) return false;
    const wanted = wishesOf(this.#roster, this.#heights).filter(({ key }) => key.startsWith(`${id}:`));
    return this.#linesOf(id).length === wanted.length && this.#isPublishing(id);
  }

  /** Who has not come to the server yet sends nothing there, although something is on. */
  #isPublishing(id: string): boolean {
    const other = this.#roster?.participants.find((each) => each.id === id);
    const { audio, video, screen } = other?.media ?? { audio: false, video: false, screen: false };
    return other !== undefined && (other.tracks.length > 0 || !(audio || video || screen));
  }

  #stream(id: string, name: string, sources: Source[]): MediaStream | null {
    const lines = sources.flatMap((source) => this.#lines.filter(({ wish }) => wish?.key === `${id}:${source}`));
    const key = lines.map(({ transceiver }) => transceiver.mid).join(" ");
    const known = this.#streams.get(`${id}:${name}`);
    if (known?.key === key) return known.stream;
    const stream =
      lines.length === 0 ? null : this.#deps.createStream(lines.map((line) => line.transceiver.receiver.track));
    this.#streams.set(`${id}:${name}`, { key, stream });
    return stream;
  }
}

/** Of each m-line that receives: pictures that were decoded, or packets of sound. */
function countsOf(report: RTCStatsReport): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, entry] of report as unknown as Iterable<[string, Record<string, unknown>]>) {
    if (entry["type"] !== "inbound-rtp") continue;
    const count = entry["kind"] === "video" ? entry["framesDecoded"] : entry["packetsReceived"];
    counts.set(String(entry["mid"]), typeof count === "number" ? count : 0);
  }
  return counts;
}

/** The largest sizes are left out when nobody shows them. */
async function setLayers(sender: RTCRtpSender, layers: number): Promise<void> {
  const parameters = sender.getParameters();
  let changed = false;
  for (const [i, encoding] of parameters.encodings.entries()) {
    // The smallest stays, so that whoever begins to watch sees something at once.
    const active = i < Math.max(1, layers);
    changed ||= encoding.active !== active;
    encoding.active = active;
  }
  if (changed) await sender.setParameters(parameters);
}

/** With all that a browser can decode, each slot would take kilobytes of the offer. */
function preferFew(transceiver: RTCRtpTransceiver): void {
  const able = typeof RTCRtpReceiver === "undefined" ? null : RTCRtpReceiver.getCapabilities("video");
  const few = able?.codecs.filter(({ mimeType, sdpFmtpLine }) => {
    const line = sdpFmtpLine ?? "";
    switch (mimeType.toLowerCase()) {
      case "video/vp8":
      case "video/rtx":
      case "video/av1":
        return true;
      case "video/vp9":
        return line === "" || line.includes("profile-id=0");
      case "video/h264":
        return line.includes("packetization-mode=1") && line.includes("profile-level-id=42e01f");
      default:
        return false;
    }
  });
  if (few && few.length > 0) transceiver.setCodecPreferences?.(few);
}

const KINDS: readonly Kind[] = ["audio", "video", "video", "audio"];
const SOURCES: readonly Source[] = ["microphone", "camera", "screen", "screen_audio"];
/** Three sizes, the smallest first. */
const CAMERA: readonly RTCRtpEncodingParameters[] = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];
const FIRST_SLOTS = 3;
const SLOTS = 4;
const STEP = 30;
const MOST_HEIGHT = 2_160;
const RETRY_MS = 3_000;
/** Refusals that another try does not mend. */
const FINAL: ReadonlySet<string> = new Set(["forbidden", "not_joined", "not_accepted", "aborted"]);
