// One remote participant: what the server says of it, the connection to it, and what a page shows of both.
import { quiet } from "../errors";
import type { Deps } from "../deps";
import type { Candidate, Participant, PathKind } from "../generated";
import { loudness, SpeechDetector } from "../level";
import { fingerprintsOf, SasExchange } from "../sas";
import { digest, UNKNOWN_QUALITY, type Sample } from "../stats";
import type { Forwarded } from "../plane/plane";
import type { Peer, PeerEncryption } from "../types";
import { Connection, type Channels, type ConnectionOptions } from "./connection";

export interface PeerPort {
  offer(sdp: string): void;
  answer(sdp: string): void;
  candidate(candidate: Candidate): void;
  changed(): void;
  /** Text on the control channel, or bytes of an application. */
  control(message: unknown): void;
  filesChannel(channel: RTCDataChannel): void;
  /** The connection was dropped. */
  closed(): void;
  path(path: PathKind): void;
  beforeRestart(): Promise<void>;
}

type PeerDeps = Pick<Deps, "timers" | "createStream" | "createPeerConnection" | "random">;

export class RemotePeer {
  #info: Participant;
  /** This call has a key. */
  #encrypted: boolean;
  #deps: PeerDeps;
  #port: PeerPort;
  #connection: Connection | null = null;
  #channels: Channels | null = null;
  #initiator = false;
  #sas: { fingerprints: string; exchange: SasExchange } | null = null;
  #speech = new SpeechDetector();
  #sample: Sample | null = null;
  #quality = UNKNOWN_QUALITY;
  #path: PathKind | null = null;
  #forwarded: Forwarded | null = null;
  #view: Peer | null = null;

  constructor(info: Participant, encrypted: boolean, deps: PeerDeps, port: PeerPort) {
    this.#info = info;
    this.#encrypted = encrypted;
    this.#deps = deps;
    this.#port = port;
  }

  get info(): Participant {
    return this.#info;
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  /** Text can go to this participant without the server. */
  get isDirect(): boolean {
    return this.#connection !== null && this.#channels?.control.readyState === "open";
  }

  /** What a page shows: the same object until something is different. */
  get view(): Peer {
    this.#view ??= this.#forwarded
      ? this.#viewOf(this.#forwarded)
      : {
          info: this.#info,
          connection: this.#connection?.state ?? "none",
          path: this.#path,
          camera: this.#shown(this.#connection?.camera ?? null),
          screen: this.#info.media.screen ? this.#shown(this.#connection?.screen ?? null) : null,
          sas: this.#sas?.exchange.words ?? null,
          quality: this.#quality,
          speaking: this.#speech.speaking && this.#info.media.audio,
          forwarded: false,
          encrypted: this.#encryptionOf(this.#connection?.readable ?? null),
          paused: false,
          missing: false,
        };
    return this.#view;
  }

  /** What comes through the server is shown, or, with `null`, what comes directly. */
  setForwarded(forwarded: Forwarded | null): void {
    if (forwarded === this.#forwarded) return;
    this.#forwarded = forwarded;
    if (forwarded && this.#speech.handleLevel(this.#deps.timers.now(), forwarded.level)) this.#view = null;
    this.#changed();
  }

  /** What is encrypted is noise without a key, and what is not has no place in an encrypted call. */
  #shown(stream: MediaStream | null): MediaStream | null {
    return this.#info.encrypted === this.#encrypted ? stream : null;
  }

  #encryptionOf(readable: boolean | null): PeerEncryption {
    if (!this.#info.encrypted) return "none";
    if (!this.#encrypted || readable === false) return "wrong_key";
    return readable ? "ok" : "waiting";
  }

  #viewOf({ connection, camera, screen, quality, paused, missing, readable }: Forwarded): Peer {
    const speaking = this.#speech.speaking && this.#info.media.audio;
    return {
      info: this.#info,
      connection,
      path: null,
      camera: this.#shown(camera),
      screen: this.#info.media.screen ? this.#shown(screen) : null,
      sas: null,
      quality,
      speaking,
      forwarded: true,
      encrypted: this.#encryptionOf(readable),
      paused,
      missing,
    };
  }

  setInfo(info: Participant): void {
    if (info === this.#info) return;
    this.#info = info;
    this.#changed();
  }

  connect(options: ConnectionOptions): Connection {
    this.disconnect();
    this.#initiator = options.initiator;
    const connection = new Connection(this.#deps, options, {
      offer: (sdp) => this.#port.offer(sdp),
      answer: (sdp) => this.#port.answer(sdp),
      candidate: (candidate) => this.#port.candidate(candidate),
      changed: () => this.#changed(),
      channels: (channels) => this.#onChannels(channels),
      beforeRestart: () => this.#port.beforeRestart(),
    });
    this.#connection = connection;
    this.#changed();
    return connection;
  }

  disconnect(): void {
    if (!this.#connection) return;
    this.#connection.close();
    this.#connection = null;
    this.#channels = null;
    this.#sas = null;
    this.#sample = null;
    this.#quality = UNKNOWN_QUALITY;
    this.#path = null;
    this.#speech = new SpeechDetector();
    this.#port.closed();
    this.#changed();
  }

  handleReadable(): void {
    this.#view = null;
  }

  sendControl(message: string | Uint8Array<ArrayBuffer>): boolean {
    if (!this.isDirect) return false;
    try {
      // Two calls for two overloads.
      if (typeof message === "string") this.#channels?.control.send(message);
      else this.#channels?.control.send(message);
      return true;
    } catch {
      // The channel closed in this very moment, or its buffer is full.
      return false;
    }
  }

  sampleLevel(now: number): void {
    const level = this.#forwarded?.level ?? loudness(this.#connection?.audioLevel() ?? 0);
    if (this.#speech.handleLevel(now, level)) this.#changed();
  }

  sampleStats(now: number): void {
    const connection = this.#connection;
    if (connection?.state !== "connected") return;
    const sampled = connection.pc.getStats().then((report) => {
      if (this.#connection !== connection) return;
      const { quality, path, sample } = digest(report as unknown as Iterable<[string, unknown]>, this.#sample, now);
      this.#sample = sample;
      this.#quality = quality;
      if (path && path !== this.#path) this.#port.path(path);
      this.#path = path ?? this.#path;
      this.#changed();
    });
    quiet(sampled);
  }

  #changed(): void {
    this.#view = null;
    this.#startSas();
    this.#port.changed();
  }

  #onChannels(channels: Channels): void {
    this.#channels = channels;
    channels.control.binaryType = "arraybuffer";
    channels.control.onopen = () => this.#changed();
    channels.control.onclose = () => this.#changed();
    channels.control.onmessage = (message: MessageEvent<unknown>) => this.#port.control(message.data);
    channels.sas.onopen = () => this.#changed();
    channels.sas.onmessage = (message: MessageEvent<unknown>) => {
      this.#startSas();
      this.#sas?.exchange.handleMessage(message.data);
      this.#changed();
    };
    this.#port.filesChannel(channels.files);
  }

  /** Once per pair of fingerprints, as soon as the channel under their protection is open. */
  #startSas(): void {
    const channel = this.#channels?.sas;
    if (!this.#connection || channel?.readyState !== "open") return;
    const local = fingerprintsOf(this.#connection.pc.currentLocalDescription?.sdp ?? "");
    const remote = fingerprintsOf(this.#connection.pc.currentRemoteDescription?.sdp ?? "");
    if (!local || !remote) return;
    const fingerprints = `${local} ${remote}`;
    if (this.#sas?.fingerprints === fingerprints) return;
    const options = { initiator: this.#initiator, local, remote, random: this.#deps.random };
    const exchange = new SasExchange(options, (message) => channel.send(message));
    this.#sas = { fingerprints, exchange };
    exchange.start();
    this.#view = null;
  }
}
