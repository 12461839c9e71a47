// All remote participants: makes, keeps and drops connections as the roster says, and carries signals to the right one.
import { CallError } from "../errors";
import type { Deps } from "../deps";
import type { MediaEncryption } from "../encryption/media";
import type { Candidate, IceServer, Participant } from "../generated";
import { isForwarded, isMeshFull, meshOf, type Roster } from "../roster";
import type { Request } from "../session";
import type { Bandwidth, CameraCodec, Peer } from "../types";
import type { Ceilings, Connection, Tracks } from "./connection";
import { RemotePeer } from "./peer";

export interface MeshPort {
  request(frame: Request): Promise<void>;
  changed(): void;
  control(from: string, message: unknown): void;
  filesChannel(peer: string, channel: RTCDataChannel): void;
  peerClosed(peer: string): void;
  beforeRestart(): Promise<void>;
}

export type MeshDeps = Pick<Deps, "timers" | "createStream" | "createPeerConnection" | "random">;

export class Mesh {
  #deps: MeshDeps;
  #port: MeshPort;
  /** In the order of the roster. */
  #peers = new Map<string, RemotePeer>();
  #roster: Roster | null = null;
  #tracks: Tracks = { microphone: null, camera: null, screen: null, screenSound: null };
  #iceServers: IceServer[] = [];
  #hideAddress = false;
  #encryption: MediaEncryption | null = null;
  #bandwidth: Bandwidth = "full";
  #cameraCodec: CameraCodec | null = null;
  #released = false;
  #retries = new Set<() => void>();

  constructor(deps: MeshDeps, port: MeshPort) {
    this.#deps = deps;
    this.#port = port;
  }

  get views(): readonly Peer[] {
    return [...this.#peers.values()].map((peer) => peer.view);
  }

  get full(): boolean {
    return this.#roster !== null && !isForwarded(this.#roster) && isMeshFull(this.#roster);
  }

  /** Media is to go through the server. */
  get isForwarded(): boolean {
    return this.#roster !== null && isForwarded(this.#roster);
  }

  isDirect(peer: string): boolean {
    return this.#peers.get(peer)?.isDirect ?? false;
  }

  sendControl(peer: string, message: string | Uint8Array<ArrayBuffer>): boolean {
    return this.#peers.get(peer)?.sendControl(message) ?? false;
  }

  /** Only before the first roster. */
  setHideAddress(hideAddress: boolean): void {
    this.#hideAddress = hideAddress;
  }

  /** Only before the first roster. */
  setEncryption(encryption: MediaEncryption | null): void {
    this.#encryption = encryption;
  }

  setIceServers(iceServers: IceServer[]): void {
    this.#iceServers = iceServers;
    for (const connection of this.#connections()) connection.setIceServers(iceServers);
  }

  setTracks(tracks: Tracks): void {
    this.#tracks = tracks;
    for (const connection of this.#connections()) connection.setTracks(tracks);
  }

  setBandwidth(bandwidth: Bandwidth): void {
    this.#bandwidth = bandwidth;
    for (const connection of this.#connections()) connection.setSeesCamera(this.#seesCamera);
    this.#applyCeilings();
  }

  setCameraCodec(codec: CameraCodec | null): void {
    this.#cameraCodec = codec;
    for (const connection of this.#connections()) connection.setCameraCodec(this.#codec);
  }

  /** What has to be encrypted goes as what is known to the encryption. */
  get #codec(): CameraCodec | null {
    return this.#encryption ? null : this.#cameraCodec;
  }

  get #seesCamera(): boolean {
    return this.#bandwidth !== "audio";
  }

  /** The one place that decides who is connected to us. */
  setRoster(roster: Roster): void {
    this.#roster = roster;
    if (!isForwarded(roster)) this.#released = false;
    const others = roster.participants.filter(({ id }) => id !== roster.you);
    const before = this.#peers;
    this.#peers = new Map();
    for (const info of others) {
      const known = before.get(info.id);
      const same = known?.info.epoch === info.epoch;
      if (known && !same) known.disconnect();
      const peer = known && same ? known : this.#create(info);
      if (known && same) this.#update(known, info);
      before.delete(info.id);
      this.#peers.set(info.id, peer);
    }
    for (const gone of before.values()) gone.disconnect();
    this.#settle();
  }

  /** Everything comes through the server now. */
  release(): void {
    if (!this.#roster || !isForwarded(this.#roster) || this.#released) return;
    this.#released = true;
    this.#settle();
    this.#port.changed();
  }

  /** Those we know, with what they are and how they are connected. */
  get all(): readonly RemotePeer[] {
    return [...this.#peers.values()];
  }

  handleOffer(from: string, sdp: string): void {
    const peer = this.#peers.get(from);
    if (!peer || !this.#wanted(peer.info)) return;
    (peer.connection ?? this.#connect(peer))?.handleOffer(sdp);
  }

  handleAnswer(from: string, sdp: string): void {
    this.#peers.get(from)?.connection?.handleAnswer(sdp);
  }

  handleCandidate(from: string, candidate: Candidate): void {
    this.#peers.get(from)?.connection?.handleCandidate(candidate);
  }

  /** The server was restarted; what was on its way is lost. */
  handleRestored(): void {
    for (const connection of this.#connections()) connection.handleRestored();
  }

  /** Whether what comes of somebody can be read may be different. */
  handleReadable(): void {
    for (const peer of this.#peers.values()) peer.handleReadable();
  }

  nudge(): void {
    for (const connection of this.#connections()) connection.nudge();
  }

  sampleLevels(): void {
    const now = this.#deps.timers.now();
    for (const peer of this.#peers.values()) peer.sampleLevel(now);
  }

  sampleStats(): void {
    const now = this.#deps.timers.now();
    for (const peer of this.#peers.values()) peer.sampleStats(now);
  }

  close(): void {
    for (const cancel of this.#retries) cancel();
    this.#retries.clear();
    for (const peer of this.#peers.values()) peer.disconnect();
    this.#peers.clear();
    this.#roster = null;
  }

  /** After a restart of the server, what was said to somebody before he was back is lost: repeat it. */
  #update(peer: RemotePeer, info: Participant): void {
    const back = peer.info.state === "away" && info.state === "here";
    peer.setInfo(info);
    if (back) peer.connection?.handleRestored();
  }

  #settle(): void {
    for (const peer of this.#peers.values()) {
      const wanted = this.#wanted(peer.info);
      if (!wanted) peer.disconnect();
      else if (!peer.connection && this.#initiates(peer.info)) this.#connect(peer);
    }
    this.#applyCeilings();
  }

  #applyCeilings(): void {
    const ceilings = this.#ceilings();
    for (const connection of this.#connections()) connection.setCeilings(ceilings);
  }

  /** Both are in, both can, and both are among those a mesh carries. */
  #wanted(info: Participant): boolean {
    if (!this.#roster) return false;
    if (isForwarded(this.#roster)) {
      // What is there stays until the other way is: the change is not to be seen.
      return !this.#released && (this.#peers.get(info.id)?.connection ?? null) !== null;
    }
    const mesh = meshOf(this.#roster);
    return mesh.has(this.#roster.you) && mesh.has(info.id);
  }

  #initiates(info: Participant): boolean {
    return this.#roster !== null && this.#roster.you < info.id;
  }

  #connect(peer: RemotePeer): Connection | null {
    const you = this.#roster?.participants.find(({ id }) => id === this.#roster?.you);
    try {
      return peer.connect({
        initiator: this.#initiates(peer.info),
        iceServers: this.#iceServers,
        relayOnly: this.#hideAddress || you?.hide_address === true || this.#roster?.room.relay_only === true,
        tracks: this.#tracks,
        ceilings: this.#ceilings(),
        cameraCodec: this.#codec,
        encryption: this.#encryption,
        seesCamera: this.#seesCamera,
      });
    } catch {
      // No WebRTC here, or ICE servers this browser does not take: the call goes on without media.
      return null;
    }
  }

  #create(info: Participant): RemotePeer {
    const { id: to, epoch } = info;
    const peer: RemotePeer = new RemotePeer(info, this.#encryption !== null, this.#deps, {
      offer: (sdp) => this.#signal(peer, { type: "offer", to, epoch, sdp }),
      answer: (sdp) => this.#signal(peer, { type: "answer", to, epoch, sdp }),
      candidate: (candidate) => this.#signal(peer, { type: "candidate", to, epoch, candidate }),
      changed: () => this.#port.changed(),
      control: (text) => this.#port.control(to, text),
      filesChannel: (channel) => this.#port.filesChannel(to, channel),
      closed: () => this.#port.peerClosed(to),
      path: (path) => this.#signal(peer, { type: "path", peer: to, path }),
      beforeRestart: () => this.#port.beforeRestart(),
    });
    return peer;
  }

  /** A refusal needs no answer (the roster event that explains it follows), unless we were only too fast. */
  #signal(peer: RemotePeer, frame: Request, left = RETRIES): void {
    const connection = peer.connection;
    this.#port.request(frame).catch((error: unknown) => {
      if (!(error instanceof CallError) || error.reason !== "too_many" || left === 0) return;
      const cancel = this.#deps.timers.after(RETRY_MS, () => {
        this.#retries.delete(cancel);
        if (connection && peer.connection === connection) this.#signal(peer, frame, left - 1);
      });
      this.#retries.add(cancel);
    });
  }

  #connections(): Connection[] {
    return [...this.#peers.values()].map((peer) => peer.connection).filter((each) => each !== null);
  }

  /** Everybody gets a copy of what we send: the more there are, the less each can have. */
  #ceilings(): Ceilings {
    const copies = Math.max(1, this.#connections().length);
    if (this.#bandwidth !== "full") return { camera: LOW_CAMERA, screen: MIN_SCREEN };
    return {
      camera: Math.max(MIN_CAMERA, Math.round(CAMERA_TOTAL / copies)),
      screen: Math.max(MIN_SCREEN, Math.round(SCREEN_TOTAL / copies)),
    };
  }
}

const CAMERA_TOTAL = 2_500_000;
const MIN_CAMERA = 600_000;
const LOW_CAMERA = 150_000;
const SCREEN_TOTAL = 4_000_000;
const MIN_SCREEN = 1_500_000;
const RETRIES = 5;
const RETRY_MS = 1_000;
