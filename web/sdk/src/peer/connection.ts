// The connection to one epoch of one participant: an RTCPeerConnection with a fixed plan, and its recovery.
//
//   m-line 0 microphone · 1 camera · 2 screen · 3 sound of the screen · 4 data channels
//
// All four are `sendrecv` from the beginning, so that switching anything on or off is a `replaceTrack` and never a
// negotiation. The initiator lays the plan out in its first offer; the other side finds it there.
import { quiet } from "../errors";
import type { Deps } from "../deps";
import { readableOf, type MediaEncryption, type Watched } from "../encryption/media";
import type { Candidate, IceServer } from "../generated";
import type { Encoding } from "../plane/encodings";
import type { CameraCodec } from "../types";
import { Negotiation } from "./negotiation";
import { Recovery } from "./recovery";

/** What we send to everyone. */
export interface Tracks {
  microphone: MediaStreamTrack | null;
  camera: MediaStreamTrack | null;
  screen: MediaStreamTrack | null;
  screenSound: MediaStreamTrack | null;
}

export interface ConnectionOptions {
  /** Lays out the plan and makes the first offer; it is the impolite side. */
  initiator: boolean;
  iceServers: IceServer[];
  relayOnly: boolean;
  tracks: Tracks;
  ceilings: Ceilings;
  /** `null`: whichever comes first. */
  cameraCodec: CameraCodec | null;
  /** Of an encrypted call. */
  encryption: MediaEncryption | null;
  /** Pictures of the other side's camera are to come. */
  seesCamera: boolean;
}

/** Bits per second. */
export interface Ceilings {
  camera: number;
  screen: number;
}

export interface ConnectionOutput {
  offer(sdp: string): void;
  answer(sdp: string): void;
  candidate(candidate: Candidate): void;
  /** State, streams or fingerprints may be different. */
  changed(): void;
  /** The data channels exist; they are not open yet. */
  channels(channels: Channels): void;
  /** Resolves when the ICE servers are as fresh as they can be. */
  beforeRestart(): Promise<void>;
}

export interface Channels {
  control: RTCDataChannel;
  files: RTCDataChannel;
  sas: RTCDataChannel;
}

export type ConnectionState = "connecting" | "connected" | "trouble" | "failed";

export class Connection {
  readonly pc: RTCPeerConnection;
  camera: MediaStream | null = null;
  screen: MediaStream | null = null;
  #deps: Pick<Deps, "timers" | "createStream">;
  #options: ConnectionOptions;
  #output: ConnectionOutput;
  #negotiation: Negotiation;
  #recovery: Recovery;
  #transceivers: RTCRtpTransceiver[] = [];
  #channels: Channels | null = null;
  #watched: Watched[] = [];
  #closed = false;

  constructor(
    deps: Pick<Deps, "timers" | "createStream" | "createPeerConnection">,
    options: ConnectionOptions,
    output: ConnectionOutput,
  ) {
    this.#deps = deps;
    this.#options = { ...options };
    this.#output = output;
    this.pc = deps.createPeerConnection(configOf(options));
    this.#negotiation = new Negotiation(this.pc, !options.initiator, {
      offer: (sdp) => output.offer(sdp),
      answer: (sdp) => output.answer(sdp),
      candidate: (candidate) => output.candidate(candidate),
      described: () => this.#onDescribed(),
      failed: () => this.#recovery.handleUnusable(),
    });
    this.#recovery = new Recovery(this.pc, options.initiator, deps.timers, {
      changed: () => this.#onState(),
      restart: () => quiet(this.#restart()),
    });
    if (options.initiator) this.#layOut();
  }

  get state(): ConnectionState {
    return this.#recovery.state;
  }

  /** Whether what comes is read by the key of the call; `null`: nothing has come yet. */
  get readable(): boolean | null {
    return readableOf(this.#watched);
  }

  handleOffer(sdp: string): void {
    this.#negotiation.handleOffer(sdp);
  }

  handleAnswer(sdp: string): void {
    this.#negotiation.handleAnswer(sdp);
  }

  handleCandidate(candidate: Candidate): void {
    this.#negotiation.handleCandidate(candidate);
  }

  /** The server has lost its memory, and with it what was on its way. */
  handleRestored(): void {
    this.#negotiation.repeat();
    this.#recovery.nudge();
  }

  /** The network has changed, or the way to the server is back: do not wait any longer. */
  nudge(): void {
    this.#recovery.nudge();
  }

  setTracks(tracks: Tracks): void {
    this.#options.tracks = tracks;
    this.#applyTracks();
  }

  setCeilings(ceilings: Ceilings): void {
    this.#options.ceilings = ceilings;
    this.#applyCeilings();
  }

  /** Takes no negotiation; where the browser knows no other way, or the other side not the codec, nothing changes. */
  setCameraCodec(codec: CameraCodec | null): void {
    this.#options.cameraCodec = codec;
    this.#applyCeilings();
  }

  /** The other side stops sending what we do not want to see: that takes a negotiation. */
  setSeesCamera(seesCamera: boolean): void {
    this.#options.seesCamera = seesCamera;
    this.#applyDirection();
  }

  setIceServers(iceServers: IceServer[]): void {
    this.#options.iceServers = iceServers;
    if (this.#closed) return;
    try {
      this.pc.setConfiguration(configOf(this.#options));
    } catch {
      // Servers this browser does not take; it goes on with those it has.
    }
  }

  /** Loudness of what comes from the microphone of the other side: 0..1. */
  audioLevel(): number {
    const source = this.#transceivers[0]?.receiver.getSynchronizationSources?.()[0];
    return source?.audioLevel ?? 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#negotiation.close();
    this.#recovery.stop();
    for (const watched of this.#watched) watched.stop();
    for (const channel of Object.values(this.#channels ?? {}) as RTCDataChannel[]) {
      channel.onopen = channel.onclose = channel.onmessage = channel.onerror = channel.onbufferedamountlow = null;
      channel.close();
    }
    this.pc.close();
  }

  async #restart(): Promise<void> {
    await this.#output.beforeRestart().catch(() => undefined);
    // Before the first description there is nothing to restart: the initiator's offer is still on its way.
    if (!this.#closed && this.pc.remoteDescription) this.pc.restartIce();
  }

  #layOut(): void {
    for (const kind of PLAN) this.pc.addTransceiver(kind, { direction: "sendrecv" });
    this.#takePlan();
  }

  #onDescribed(): void {
    if (this.#transceivers.length === 0) {
      for (const [i, kind] of PLAN.entries()) {
        const transceiver = this.pc.getTransceivers()[i];
        if (transceiver?.receiver.track.kind !== kind) throw new Error(`m-line ${i} is not ${kind}`);
        transceiver.direction = "sendrecv";
      }
      this.#takePlan();
    }
    if (!this.camera) {
      const [microphone, camera, screen, sound] = this.#transceivers.map((each) => each.receiver.track);
      this.camera = this.#deps.createStream([microphone, camera].filter(isPresent));
      this.screen = this.#deps.createStream([screen, sound].filter(isPresent));
    }
    this.#applyCeilings();
    this.#output.changed();
  }

  #takePlan(): void {
    this.#transceivers = this.pc.getTransceivers().slice(0, PLAN.length);
    this.#protect();
    this.#applyTracks();
    this.#applyDirection();
    const channel = (name: string, id: number): RTCDataChannel =>
      this.pc.createDataChannel(name, { negotiated: true, id });
    this.#channels = { control: channel("control", 0), files: channel("files", 1), sas: channel("sas", 2) };
    this.#output.channels(this.#channels);
  }

  /** Before anything is sent. */
  #protect(): void {
    const { encryption } = this.#options;
    if (!encryption) return;
    for (const [i, transceiver] of this.#transceivers.entries()) {
      const kind = PLAN[i] ?? "video";
      encryption.protectSender(transceiver, kind);
      this.#watched.push(encryption.protectReceiver(transceiver, kind));
    }
  }

  #applyTracks(): void {
    if (this.#closed) return;
    const { microphone, camera, screen, screenSound } = this.#options.tracks;
    for (const [i, track] of [microphone, camera, screen, screenSound].entries()) {
      const sender = this.#transceivers[i]?.sender;
      if (sender && sender.track !== track) quiet(sender.replaceTrack(track).then(() => this.#applyCeilings()));
    }
  }

  #applyDirection(): void {
    const camera = this.#transceivers[CAMERA];
    const direction = this.#options.seesCamera ? "sendrecv" : "sendonly";
    if (!this.#closed && camera && camera.direction !== direction) camera.direction = direction;
  }

  #applyCeilings(): void {
    if (this.#closed) return;
    const { ceilings, cameraCodec } = this.#options;
    quiet(setCeiling(this.#transceivers[CAMERA]?.sender, ceilings.camera, cameraCodec));
    quiet(setCeiling(this.#transceivers[2]?.sender, ceilings.screen, null));
  }

  #onState(): void {
    if (this.#recovery.state === "connected") this.#applyCeilings();
    this.#output.changed();
  }
}

/** Browsers differ in when the parameters exist; asking again later is harmless, so failure is, too. */
async function setCeiling(sender: RTCRtpSender | undefined, bits: number, codec: CameraCodec | null): Promise<void> {
  const parameters = sender?.getParameters();
  const encoding: Encoding | undefined = parameters?.encodings?.[0];
  if (!sender || !parameters || !encoding) return;
  const chosen = parameters.codecs?.find(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  if (encoding.maxBitrate === bits && encoding.codec?.mimeType === chosen?.mimeType) return;
  encoding.maxBitrate = bits;
  if (chosen) encoding.codec = chosen;
  else delete encoding.codec;
  await sender.setParameters(parameters);
}

function configOf(options: Pick<ConnectionOptions, "iceServers" | "relayOnly" | "encryption">): RTCConfiguration {
  const config: RTCConfiguration = {
    iceServers: options.iceServers,
    iceTransportPolicy: options.relayOnly ? "relay" : "all",
    bundlePolicy: "max-bundle",
  };
  return options.encryption?.config(config) ?? config;
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}

const CAMERA = 1;
const PLAN = ["audio", "video", "video", "audio"] as const;
