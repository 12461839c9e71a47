// A peer connection without a network: signalling states, rollback, m-lines, restarts and data channels behave as in
// WebRTC 1.0; two of them are connected once each has applied the other's description.
import { FakeTrack } from "./fakes";

interface Described {
  id: number;
  fingerprint: string;
  kinds: string[];
  restart: number;
}

export class FakePeerConnection {
  static all: FakePeerConnection[] = [];
  /** Whether packets flow. */
  static network = true;

  static reset(): void {
    FakePeerConnection.all = [];
    FakePeerConnection.network = true;
  }

  /** Packets stop, or flow again. */
  static setNetwork(up: boolean): void {
    FakePeerConnection.network = up;
    for (const pc of FakePeerConnection.all) {
      if (!up && pc.connectionState === "connected") pc.setConnection("disconnected");
    }
  }

  onnegotiationneeded: (() => void) | null = null;
  onicecandidate: ((event: { candidate: object | null }) => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  signalingState: "stable" | "have-local-offer" | "have-remote-offer" | "closed" = "stable";
  connectionState = "new";
  localDescription: { type: string; sdp: string } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  currentLocalDescription: { type: string; sdp: string } | null = null;
  currentRemoteDescription: { type: string; sdp: string } | null = null;
  transceivers: FakeTransceiver[] = [];
  channels = new Map<number, FakeChannel>();
  candidates: object[] = [];
  restarts = 0;
  stats = new Map<string, unknown>();
  id: number;
  config: RTCConfiguration;
  #needed = false;
  #described = 0;

  constructor(config: RTCConfiguration) {
    this.config = config;
    FakePeerConnection.all.push(this);
    this.id = FakePeerConnection.all.length;
  }

  get fingerprint(): string {
    return `sha-256 ${this.id.toString(16).padStart(2, "0").toUpperCase()}:AB`;
  }

  get remote(): FakePeerConnection | null {
    const described = this.remoteDescription && read(this.remoteDescription.sdp);
    return FakePeerConnection.all.find(({ id }) => id === described?.id) ?? null;
  }

  addTransceiver(kind: "audio" | "video"): FakeTransceiver {
    const transceiver = new FakeTransceiver(kind, "sendrecv");
    this.transceivers.push(transceiver);
    this.#need();
    return transceiver;
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers;
  }

  createDataChannel(label: string, options: { id: number }): FakeChannel {
    const channel = new FakeChannel(label, options.id, this);
    this.channels.set(options.id, channel);
    return channel;
  }

  setConfiguration(config: RTCConfiguration): void {
    this.config = config;
  }

  restartIce(): void {
    this.restarts += 1;
    this.#need();
  }

  getStats(): Promise<Map<string, unknown>> {
    return Promise.resolve(this.stats);
  }

  async setLocalDescription(): Promise<void> {
    await Promise.resolve();
    if (this.signalingState === "closed") throw new Error("closed");
    const answers = this.signalingState === "have-remote-offer";
    this.#needed = false;
    this.#described += 1;
    const sdp = write({
      id: this.id,
      fingerprint: this.fingerprint,
      kinds: this.transceivers.map(({ kind }) => kind),
      restart: this.restarts,
    });
    this.localDescription = { type: answers ? "answer" : "offer", sdp };
    this.signalingState = answers ? "stable" : "have-local-offer";
    const gathered = candidate(this.id, this.#described);
    setImmediate(() => {
      this.onicecandidate?.({ candidate: gathered });
      this.onicecandidate?.({ candidate: null });
    });
    if (answers) this.#onStable();
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    await Promise.resolve();
    if (this.signalingState === "closed") throw new Error("closed");
    const described = read(description.sdp);
    if (!described) throw new Error("this is no description");
    if (description.type === "offer") {
      if (this.signalingState === "have-local-offer") this.localDescription = this.currentLocalDescription;
      for (const [i, kind] of described.kinds.entries()) {
        this.transceivers[i] ??= new FakeTransceiver(kind, "recvonly");
      }
      this.remoteDescription = description;
      this.signalingState = "have-remote-offer";
      return;
    }
    if (this.signalingState !== "have-local-offer") throw new Error("no answer was expected");
    this.remoteDescription = description;
    this.signalingState = "stable";
    this.#onStable();
  }

  async addIceCandidate(init: object): Promise<void> {
    await Promise.resolve();
    if (!this.remoteDescription) throw new Error("no description to add a candidate to");
    this.candidates.push(init);
  }

  close(): void {
    if (this.signalingState === "closed") return;
    this.signalingState = "closed";
    this.connectionState = "closed";
    for (const channel of this.channels.values()) channel.shut();
    const remote = this.remote;
    if (remote && remote.connectionState === "connected") remote.setConnection("disconnected");
  }

  setConnection(state: string): void {
    if (this.connectionState === state || this.connectionState === "closed") return;
    this.connectionState = state;
    if (state === "connected") for (const channel of this.channels.values()) channel.open();
    this.onconnectionstatechange?.();
  }

  #need(): void {
    this.#needed = true;
    queueMicrotask(() => {
      if (this.#needed && this.signalingState === "stable") this.onnegotiationneeded?.();
    });
  }

  #onStable(): void {
    this.currentLocalDescription = this.localDescription;
    this.currentRemoteDescription = this.remoteDescription;
    const remote = this.remote;
    const mutual = remote?.remote === this && remote.signalingState !== "closed";
    if (mutual && FakePeerConnection.network) {
      queueMicrotask(() => {
        this.setConnection("connected");
        remote.setConnection("connected");
      });
    }
    if (this.#needed) this.#need();
  }
}

export class FakeTransceiver {
  kind: string;
  direction: string;
  receiver: { track: FakeTrack; getSynchronizationSources(): { audioLevel: number }[] };
  level = 0;
  sender = {
    track: null as unknown,
    parameters: { encodings: [{}] as { maxBitrate?: number }[] },
    replaceTrack(track: unknown): Promise<void> {
      this.track = track;
      return Promise.resolve();
    },
    getParameters(): { encodings: { maxBitrate?: number }[] } {
      return structuredClone(this.parameters);
    },
    setParameters(parameters: { encodings: { maxBitrate?: number }[] }): Promise<void> {
      this.parameters = parameters;
      return Promise.resolve();
    },
  };

  constructor(kind: string, direction: string) {
    this.kind = kind;
    this.direction = direction;
    const track = new FakeTrack(kind === "audio" ? "audio" : "video");
    this.receiver = { track, getSynchronizationSources: () => [{ audioLevel: this.level }] };
  }
}

export class FakeChannel {
  readyState = "connecting";
  binaryType = "blob";
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onerror: (() => void) | null = null;
  onbufferedamountlow: (() => void) | null = null;
  /** What was sent. */
  sent: unknown[] = [];
  /** While set, nothing arrives. */
  deaf = false;
  label: string;
  id: number;
  #pc: FakePeerConnection | null;

  constructor(label: string, id: number, pc: FakePeerConnection | null) {
    this.label = label;
    this.id = id;
    this.#pc = pc;
  }

  open(): void {
    if (this.readyState !== "connecting") return;
    this.readyState = "open";
    this.onopen?.();
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== "open") throw new Error("the channel is not open");
    this.sent.push(data);
    const other = this.#pc?.remote?.channels.get(this.id);
    if (other && !other.deaf) queueMicrotask(() => other.arrive(data));
  }

  arrive(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== "open" && this.readyState !== "connecting") return;
    this.onmessage?.({ data: typeof data === "string" ? data : data.slice().buffer });
  }

  close(): void {
    this.shut();
  }

  shut(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.onclose?.();
  }
}

function write(described: Described): string {
  return `v=0\r\na=fingerprint:${described.fingerprint}\r\na=x-fake:${JSON.stringify(described)}\r\n`;
}

function read(sdp: string): Described | null {
  const match = /^a=x-fake:(.*)\r?$/m.exec(sdp);
  return match?.[1] ? (JSON.parse(match[1]) as Described) : null;
}

function candidate(id: number, n: number): object {
  return { candidate: `candidate:${id} ${n}`, sdpMid: "0", sdpMLineIndex: 0, usernameFragment: `u${id}` };
}
