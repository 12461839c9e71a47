// The public face of the SDK. The app, the embed and any third party use this and nothing else.
import type { LeaveReason, Media, Participant, PathKind, Permissions, Reason, Room, Source } from "./generated";

/** Where a call stands. One place in the SDK changes it. */
export type CallState =
  | { state: "idle" }
  | { state: "joining" }
  /** Waiting for the host to accept; no peer connection exists, nothing was gathered. */
  | { state: "ringing" }
  | { state: "joined" }
  /** The way to the server is lost; media between browsers goes on. `attempt` counts from 1. */
  | { state: "reconnecting"; since: number; attempt: number }
  | { state: "ended"; reason: EndReason; detail: string };

export type EndReason = LeaveReason | Reason | "unreachable" | "aborted";

export interface JoinOptions {
  /** Origin of the server, e.g. `https://localhost:8443`. Default: the page's own. */
  server?: string;
  room: string;
  name: string;
  /**
   * Of a call that is encrypted from end to end: what `newCallKey` has made, and everybody in the call has. Media, chat,
   * files and data then are of use to them alone. Rejects `unsupported` where the browser cannot.
   */
  key?: string;
  /** What a third party has signed for this room and this person, where the room wants it. */
  token?: string;
  /** Relay candidates only, for this participant. */
  hideAddress?: boolean;
  /** Honoured when this join opens the room. */
  entry?: "open" | "ring";
  /** Tracks to begin with; the call takes ownership and stops them at its end. */
  microphone?: MediaStreamTrack | null;
  camera?: MediaStreamTrack | null;
  /** As in `setCameraCodec`. Default: `null`. */
  cameraCodec?: CameraCodec | null;
  /** Keeps the resume token over a page reload. Default: `sessionStorage`. `null`: do not. */
  storage?: Storage | null;
  /** Default `auto`: WebSocket, and long polling where that does not get through. */
  transport?: "auto" | "websocket" | "polling";
  /**
   * Keeps the microphone open (and its light on) while muted, to notice that you speak. Nothing is sent meanwhile.
   * Default: `false`, off is off.
   */
  watchWhileMuted?: boolean;
  signal?: AbortSignal;
}

/** Everything a page shows of one other participant. Replaced (never mutated) when something changes. */
export interface Peer {
  readonly info: Participant;
  readonly connection: "none" | "connecting" | "connected" | "trouble" | "failed";
  readonly path: PathKind | null;
  /** Camera and microphone of this participant. */
  readonly camera: MediaStream | null;
  readonly screen: MediaStream | null;
  /** Compare aloud: four words, the same on both sides. `null` until both have revealed. */
  readonly sas: readonly string[] | null;
  readonly quality: Quality;
  readonly speaking: boolean;
  /** What is shown comes through the server's media plane. */
  readonly forwarded: boolean;
  readonly encrypted: PeerEncryption;
  /** The way to us is too narrow for the picture of the camera: what is shown of it stands still. */
  readonly paused: boolean;
  /** The camera is on, and for a while nothing has come of it that this browser can show; perhaps it lacks the codec. */
  readonly missing: boolean;
}

/**
 * How it stands with the encryption of what comes of somebody, beyond that of the connection itself.
 * `none`: there is none; in an encrypted call nothing of theirs is shown.
 * `waiting`: nothing has come yet by which to tell.
 * `ok`: it is read by our key.
 * `wrong_key`: it is encrypted, and we have no key or another one.
 */
export type PeerEncryption = "none" | "waiting" | "ok" | "wrong_key";

/**
 * What may come and go: `full`, all there is room for; `low`, cameras only in the smallest size; `audio`, no cameras at all.
 * Shared screens come in any case.
 */
export type Bandwidth = "full" | "low" | "audio";

/**
 * In what the camera is sent. VP8 goes through the server in several sizes; VP9 and AV1 go as one stream of layers, which takes
 * less of the line and more of the computer.
 */
export type CameraCodec = "vp8" | "vp9" | "av1";

export type Trouble = "none" | "your_upload" | "your_download" | "their_upload" | "network" | "device";
/** Words first: `level` and `trouble`; numbers second. */
export interface Quality {
  readonly level: "unknown" | "good" | "fair" | "poor";
  readonly trouble: Trouble;
  readonly roundTripMs: number | null;
  readonly lossIn: number | null;
  readonly lossOut: number | null;
  readonly bitsIn: number | null;
  readonly bitsOut: number | null;
  readonly jitterMs: number | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly framesPerSecond: number | null;
  readonly codecs: readonly string[];
  /** `host`, `srflx`, `prflx`, `relay` of the selected pair, and the relay's protocol. */
  readonly localCandidate: string | null;
  readonly remoteCandidate: string | null;
  readonly relayProtocol: string | null;
}

export interface ChatLine {
  readonly id: string;
  readonly from: string;
  readonly name: string;
  readonly text: string;
  readonly at: number;
  readonly mine: boolean;
  readonly private: boolean;
}

/** What somebody says, in writing, so far. */
export interface Caption {
  readonly from: string;
  readonly name: string;
  /** Of that participant's; told again with more of it until it is `done`. */
  readonly line: number;
  readonly text: string;
  readonly done: boolean;
  /** As in BCP 47. */
  readonly language: string;
  readonly at: number;
  readonly mine: boolean;
}

export interface DataMessage {
  readonly from: string;
  readonly data: string | Uint8Array<ArrayBuffer>;
  readonly reliable: boolean;
}

export interface FileTransfer {
  readonly id: string;
  readonly peer: string;
  readonly direction: "in" | "out";
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly done: number;
  readonly state: "offered" | "waiting" | "running" | "finished" | "declined" | "cancelled" | "failed";
  readonly reason: string | null;
  /** The received file, once finished (direction `in`); its SHA-256 was checked. */
  readonly blob: Blob | null;
  readonly sha256: string | null;
}

export interface Local {
  readonly microphone: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
  readonly screen: MediaStream | null;
  readonly screenSurface: "monitor" | "window" | "browser" | null;
  /** The microphone hears you though you are muted. */
  readonly speakingWhileMuted: boolean;
  readonly speaking: boolean;
}

export interface CallEvents {
  /** Anything a page shows may have changed: read the getters again. At most one per animation frame. */
  change: undefined;
  state: CallState;
  chat: ChatLine;
  /** What an application of somebody else has sent. */
  data: DataMessage;
  /** A newcomer, a leaver, a new host…: for the live region and the toast. */
  notice: Notice;
}

export type Notice =
  | { kind: "joined" | "ringing" | "back" | "away"; name: string; participant: string }
  | { kind: "left"; name: string; participant: string; reason: LeaveReason }
  | { kind: "host"; name: string; you: boolean }
  /** `rejoined`: one's place was lost in a long outage, and taken anew; whoever was here sees a newcomer. */
  | { kind: "locked" | "unlocked" | "draining" | "restored" | "rejoined" | "screen_ended" }
  | { kind: "device_lost"; device: "microphone" | "camera" }
  /** The host has turned off what you send. */
  | { kind: "muted"; name: string; source: Source }
  /** What one may send from here on, or may not any more: what was on of it is off. */
  | { kind: "floor_given" | "floor_taken"; media: Media }
  /** The call goes on in another room of the family. */
  | { kind: "moved"; room: string };

export { CallError, type ErrorReason } from "./errors";

export interface Call {
  readonly state: CallState;
  readonly room: Room | null;
  readonly me: Participant | null;
  /** Of the room: the crown. Who may do what the host may is told by `canHost`. */
  readonly isHost: boolean;
  /** We may do what the host may. */
  readonly canHost: boolean;
  /** What we may do; everything but what is the host's, unless the server says otherwise. */
  readonly may: Permissions;
  /** On the way from one room to another. */
  readonly moving: boolean;
  readonly peers: readonly Peer[];
  readonly chat: readonly ChatLine[];
  readonly files: readonly FileTransfer[];
  readonly local: Local;
  /** On: this call has a key, and nothing that is not encrypted by it is sent, shown or played. */
  readonly encryption: "off" | "on";
  /** Above the server's mesh limit no media flows between browsers; the page says so in a clear word. */
  readonly meshFull: boolean;
  /** The server can carry the media of this call. */
  readonly canForward: boolean;
  /** Who has spoken lately, the last one first; without oneself. */
  readonly speakers: readonly string[];
  readonly bandwidth: Bandwidth;
  /** The last of them, ours included, in the order in which they began. */
  readonly captions: readonly Caption[];

  on<K extends keyof CallEvents>(event: K, listener: (value: CallEvents[K]) => void): () => void;

  /** Resolves when joined, or when the host has accepted. May be called again after `ended`. */
  join(options: JoinOptions): Promise<void>;
  /** May be called at any time; resolves when everything is stopped. */
  leave(): Promise<void>;

  /** Off stops the track (the light goes out); on asks the device again. Rejects `not_permitted` where we may not send that. */
  setMicrophone(on: boolean, deviceId?: string): Promise<void>;
  setCamera(on: boolean, deviceId?: string): Promise<void>;
  /** `detail` for text, `motion` for video. Rejects `permission_denied` when the person cancels. */
  shareScreen(content: "detail" | "motion"): Promise<void>;
  stopScreen(): Promise<void>;
  rename(name: string): Promise<void>;

  say(text: string, to?: string): Promise<void>;
  /**
   * Something of an application's own, 60 KiB at most, to one or to all who are in. Directly where there is a connection,
   * else through the server, which keeps nothing of it. Not `reliable`: it may be lost rather than come late.
   */
  send(data: string | Uint8Array, options?: { to?: string; reliable?: boolean }): Promise<void>;

  offerFile(file: File, to: string): string;
  acceptFile(id: string): void;
  declineFile(id: string): void;
  cancelFile(id: string): void;

  accept(participant: string): Promise<void>;
  decline(participant: string): Promise<void>;
  lock(locked: boolean): Promise<void>;
  remove(participant: string): Promise<void>;
  handOver(participant: string): Promise<void>;
  end(): Promise<void>;

  /** Host: turns off what somebody sends; in a call of two it asks for it. */
  mute(participant: string, source: Source): Promise<void>;
  raiseHand(raised: boolean): Promise<void>;
  /** Host. */
  lowerHand(participant: string): Promise<void>;
  /** Host: all media goes through the server, or as the server sees fit. */
  forward(always: boolean): Promise<void>;
  /** Host: what somebody may do from here on. */
  permit(participant: string, may: Permissions): Promise<void>;
  /** Host: newcomers only watch, or may send at once. */
  newcomers(watchOnly: boolean): Promise<void>;
  /** Host: so many breakout rooms; `assign` spreads everybody else over them at once. */
  openBreakouts(rooms: number, assign: boolean): Promise<void>;
  /** Host: everybody comes back. */
  closeBreakouts(): Promise<void>;
  /**
   * Go to another room of the family. The call goes on there by itself, with the same devices. The host sends others:
   * `participant`, from the room `from` if that is not this one.
   */
  moveTo(room: string, participant?: string, from?: string): Promise<void>;
  /** What we say, in writing: the same `line` with more text until it is `done`. */
  caption(line: number, text: string, done: boolean, language: string): Promise<void>;
  /** Kept until it is said otherwise, beyond the end of a call. */
  setBandwidth(bandwidth: Bandwidth): void;
  /**
   * `null`: as it seems best, which is VP8. Where the browser or the other side cannot, and in encrypted calls, it is VP8 in any
   * case. What a browser can is told by `cameraCodecs`.
   */
  setCameraCodec(codec: CameraCodec | null): void;
  /** Device pixels of the tile in which somebody is shown; 0: out of sight. What is not told is shown in a usual size. */
  showing(participant: string, source: "camera" | "screen", height: number | null): void;
}
