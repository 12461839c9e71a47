// The connection to the server's media plane: what we send goes up once, what we show comes down by slots.
//
//   m-line: data · microphone · camera (`camera.ts`) · screen · sound of the screen · slots …
//
// Only we offer. Turning something on or off is a `replaceTrack`; who is shown in which slot is said by `watch`; there is a
// new offer only when slots are missing, when ICE begins anew, and when the camera goes in another codec.
import { CallError, quiet } from "../errors";
import type { Deps } from "../deps";
import { readableOf, type MediaEncryption, type Watched } from "../encryption/media";
import type { IceServer, Media, Sends, Slot as SlotFrame, SlotLayer, Source } from "../generated";
import { loudness } from "../level";
import type { Tracks } from "../peer/connection";
import { Recovery } from "../peer/recovery";
import type { ConnectionState } from "../peer/connection";
import { beyond, isAny, mayOf } from "../rights";
import type { Roster } from "../roster";
import type { Request } from "../session";
import { digest, UNKNOWN_QUALITY, type Sample } from "../stats";
import type { Bandwidth, CameraCodec, Quality } from "../types";
import { Camera } from "./camera";
import { preferFew } from "./encodings";
import type { Lanes } from "./lanes";
import { assign, isOutOfSight, type Kind, type Slot } from "./slots";
import { wishesOf, type View } from "./wishes";

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
  /** The way to us is too narrow for the picture of the camera. */
  readonly paused: boolean;
  /** The camera was asked for, and for a while nothing has come of it that can be shown. */
  readonly missing: boolean;
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
  /** Since when the server has had nothing for it that would fit the way to us. */
  pausedAt: number | null;
  /** Since when its present wish has been in sight, as the server was told. */
  askedAt: number | null;
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
  /** All but the camera's. */
  #senders = new Map<Source, RTCRtpTransceiver>();
  #camera: Camera | null = null;
  #cameraCodec: CameraCodec | null = null;
  #lines: Line[] = [];
  #roster: Roster | null = null;
  #tracks: Tracks = { microphone: null, camera: null, screen: null, screenSound: null };
  #iceServers: IceServer[] = [];
  /** What we may send: m-lines beyond that have become no tracks. */
  #allowed: Media | null = null;
  #encryption: MediaEncryption | null = null;
  #heights = new Map<string, number>();
  #speakers: readonly string[] = [];
  #bandwidth: Bandwidth = "full";
  /** How many sizes of the camera somebody wants; all of them until the server has said. */
  #watched = Infinity;
  #streams = new Map<string, Streams>();
  /** What is said of the quality while a picture is paused. */
  #paused = new WeakMap<Quality, Quality>();
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

  /** `null`: as it seems best. What has to be encrypted goes as VP8, of which it is known what has to stay in the clear. */
  setCameraCodec(codec: CameraCodec | null): void {
    this.#cameraCodec = codec;
    if (!this.#camera?.choose(this.#codec)) return;
    this.#watched = Infinity;
    this.#applySizes();
    this.#negotiate();
  }

  /** How tall a tile is, in device pixels: `p2:camera`, `p2:screen`. 0: it cannot be seen. */
  setHeight(key: string, height: number | null): void {
    const rounded = height === null ? null : Math.ceil(height / STEP) * STEP;
    if (this.#heights.get(key) === (rounded ?? undefined)) return;
    if (rounded === null) this.#heights.delete(key);
    else this.#heights.set(key, rounded);
    this.#sync();
  }

  setBandwidth(bandwidth: Bandwidth): void {
    if (bandwidth === this.#bandwidth) return;
    this.#bandwidth = bandwidth;
    this.#applySizes();
    this.#sync();
  }

  /** Who has spoken lately, the last one first. */
  setSpeakers(speakers: readonly string[]): void {
    this.#speakers = speakers;
    this.#sync();
  }

  setRoster(roster: Roster): void {
    this.#roster = roster;
    const here = new Set(roster.participants.map(({ id }) => id));
    for (const key of this.#heights.keys()) if (!here.has(key.split(":")[0] ?? "")) this.#heights.delete(key);
    const me = roster.participants.find(({ id }) => id === roster.you);
    const wanted = roster.limits.sfu && roster.room.topology === "sfu" && me !== undefined && me.state !== "ringing";
    const before = this.#allowed;
    this.#allowed = mayOf(me ?? null).publish;
    if (wanted && !this.#pc) this.#open();
    else if (before && isAny(beyond(this.#allowed, before))) this.#negotiate();
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
    if (me?.tracks.find(({ id }) => id === track)?.source !== "camera") return;
    this.#watched = layers;
    this.#applySizes();
  }

  /** What comes by our slots at the moment. */
  handleLayers(slots: readonly SlotLayer[]): void {
    let changed = false;
    for (const { mid, layer } of slots) {
      const line = this.#lines.find(({ transceiver }) => transceiver.mid === mid);
      if (!line || (line.pausedAt !== null) === (layer === undefined)) continue;
      line.pausedAt = layer === undefined ? this.#deps.timers.now() : null;
      changed = true;
    }
    if (changed) this.#port.changed();
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
    const camera = lines.find(({ wish }) => wish?.key === `${id}:camera`);
    const isPaused = this.#isPaused(camera);
    return {
      connection: this.#recovery.state,
      camera: this.#stream(id, "camera", ["microphone", "camera"]),
      screen: this.#stream(id, "screen", ["screen", "screen_audio"]),
      quality: this.#qualityOf(id, isPaused),
      level: loudness(source?.audioLevel ?? 0),
      paused: isPaused,
      missing: !isPaused && this.#isMissing(camera),
      flows: this.#recovery.state === "connected" && this.#isSettledFor(id) && lines.every(hasCome),
      readable: readableOf(lines.map(({ watched }) => watched)),
    };
  }

  /** Looks whether what was asked for has begun to come. */
  look(): void {
    const waiting = this.#lines.filter((line) => line.wish && !hasCome(line));
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
        const { quality, sample } = digest(own, this.#samples.get(id)?.sample ?? null, now, "server");
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

  /** The same where the server knows nothing of it, or is not to be asked. What the page has said of itself stays. */
  abandon(): void {
    this.#drop();
    this.#roster = null;
  }

  /** The call is over. */
  forget(): void {
    this.abandon();
    this.#heights.clear();
    this.#speakers = [];
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
    const add = (kind: Kind, sendEncodings?: RTCRtpEncodingParameters[]): RTCRtpTransceiver => {
      const init: RTCRtpTransceiverInit = { direction: "sendonly", ...(sendEncodings && { sendEncodings }) };
      const transceiver = pc.addTransceiver(kind, init);
      this.#encryption?.protectSender(transceiver, kind);
      return transceiver;
    };
    this.#senders.set("microphone", add("audio"));
    this.#camera = new Camera((encodings) => add("video", encodings), this.#codec);
    this.#senders.set("screen", add("video")).set("screen_audio", add("audio"));
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
    this.#senders.clear();
    this.#camera = null;
    for (const { watched } of this.#lines) watched?.stop();
    this.#lines = [];
    this.#streams.clear();
    this.#samples.clear();
    this.#watched = Infinity;
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
        this.#lines.push({
          kind,
          transceiver,
          wish: null,
          before: null,
          flows: false,
          pausedAt: null,
          askedAt: null,
          told: "",
          watched,
        });
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
    const sends: Sends[] = [...this.#senders].map(([source, { mid }]) => ({ mid: mid ?? "", source }));
    const camera = this.#camera;
    if (camera) sends.push({ mid: camera.mid ?? "", source: "camera" });
    this.#answer = null;
    await this.#port.request({ type: "media_offer", sdp, sends });
    // The answer comes before the reply.
    if (this.#pc !== pc || this.#answer === null) return;
    await pc.setRemoteDescription({ type: "answer", sdp: this.#answer });
    // What has changed meanwhile was not in this offer.
    if (this.#again || (await camera?.settle()) !== false || this.#pc !== pc) return;
    this.#applySizes();
    this.#again = true;
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
    this.#camera?.setTrack(camera);
    for (const [source, track] of [
      ["microphone", microphone],
      ["screen", screen],
      ["screen_audio", screenSound],
    ] as const) {
      const sender = this.#senders.get(source)?.sender;
      if (sender && sender.track !== track) quiet(sender.replaceTrack(track));
    }
  }

  /** In which sizes the camera goes up: as many as suit it, are looked at, and are to be spent. */
  #applySizes(): void {
    this.#camera?.setWanted(this.#watched, this.#bandwidth !== "full");
  }

  get #codec(): CameraCodec | null {
    return this.#encryption ? null : this.#cameraCodec;
  }

  get #view(): View {
    return { heights: this.#heights, speakers: this.#speakers, bandwidth: this.#bandwidth };
  }

  #sync(): void {
    if (!this.#pc || !this.#roster) return;
    const before = this.#lines.map(({ wish }) => wish);
    const missing = assign(this.#lines, wishesOf(this.#roster, this.#view));
    for (const [i, line] of this.#lines.entries()) {
      if (line.wish?.key === before[i]?.key && line.wish?.track === before[i]?.track) continue;
      line.before = null;
      line.flows = false;
      line.watched?.begin();
      line.pausedAt = null;
      line.askedAt = null;
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
      line.askedAt = track === null || isOutOfSight(line.wish) ? null : (line.askedAt ?? this.#deps.timers.now());
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
    const wanted = wishesOf(this.#roster, this.#view).filter((wish) => wish.key.startsWith(`${id}:`));
    const held = new Set(this.#linesOf(id).map(({ wish }) => wish?.key));
    return wanted.every((wish) => held.has(wish.key) || isOutOfSight(wish)) && this.#isPublishing(id);
  }

  #qualityOf(id: string, isPaused: boolean): Quality {
    const quality = this.#samples.get(id)?.quality ?? UNKNOWN_QUALITY;
    if (!isPaused) return quality;
    const known = this.#paused.get(quality) ?? { ...quality, level: "poor", trouble: "your_download" };
    this.#paused.set(quality, known);
    return known;
  }

  /** What has just begun, or has to wait for a moment, is not worth a word. */
  #isPaused(camera: Line | undefined): boolean {
    if (!camera || camera.pausedAt === null || isOutOfSight(camera.wish)) return false;
    return this.#deps.timers.now() - camera.pausedAt >= PAUSED_MS;
  }

  /** Perhaps it is in a codec that this browser does not have: a slot gets nothing of those it has not agreed on. */
  #isMissing(camera: Line | undefined): boolean {
    if (!camera || camera.askedAt === null || camera.flows || this.#recovery?.state !== "connected") return false;
    return this.#deps.timers.now() - camera.askedAt >= MISSING_MS;
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

/** Of what was asked for something has come, or nothing is to come now. */
function hasCome({ wish, flows }: Line): boolean {
  return flows || isOutOfSight(wish);
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

const FIRST_SLOTS = 3;
const SLOTS = 4;
const STEP = 30;
const MOST_HEIGHT = 2_160;
const PAUSED_MS = 3_000;
const MISSING_MS = 8_000;
const RETRY_MS = 3_000;
/** Refusals that another try does not mend. */
const FINAL: ReadonlySet<string> = new Set(["forbidden", "not_joined", "not_accepted", "aborted"]);
