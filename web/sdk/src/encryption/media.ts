// Puts the encryption into the connections of a page. The frames themselves pass through a worker (`worker.ts`).
//
// Two ways into a connection: `RTCRtpScriptTransform` (W3C WebRTC Encoded Transform), and where there is only that,
// `createEncodedStreams` of older Chromium, which has to be asked for when the connection is made.
import type { MediaKind } from "./frames";

export interface Attach {
  side: "send" | "receive";
  kind: MediaKind;
  id: number;
  readable: ReadableStream;
  writable: WritableStream;
}

export type ToWorker =
  | { type: "key"; key: Uint8Array<ArrayBuffer> }
  | ({ type: "attach" } & Attach)
  | { type: "begin"; id: number; round: number }
  | { type: "detach"; id: number };

export interface FromWorker {
  id: number;
  round: number;
  readable: boolean;
}

/** What comes by one receiver. `null`: nothing has come yet. */
export interface Watched {
  readonly readable: boolean | null;
  /** Somebody else comes from here on. */
  begin(): void;
  stop(): void;
}

/** What a browser has for it, by its own names; neither stands in the types of TypeScript's library everywhere. */
interface Encoded {
  transform?: unknown;
  createEncodedStreams?: () => { readable: ReadableStream; writable: WritableStream };
}

type ScriptTransform = new (worker: Worker, options: unknown) => unknown;

export function canEncryptMedia(): boolean {
  return typeof Worker === "function" && (scriptTransform() !== null || hasStreams());
}

export class MediaEncryption {
  #worker: Worker;
  #changed: () => void;
  #watched = new Map<number, { readable: boolean | null; round: number }>();
  #next = 1;

  constructor(key: Uint8Array<ArrayBuffer>, worker: Worker, changed: () => void) {
    this.#worker = worker;
    this.#changed = changed;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#onTold(data);
    this.#say({ type: "key", key });
  }

  /** For a connection that is to be encrypted. */
  config(config: RTCConfiguration): RTCConfiguration {
    if (scriptTransform()) return config;
    return { ...config, encodedInsertableStreams: true } as RTCConfiguration;
  }

  /** Before anything is offered or sent: nothing leaves this sender in the clear from then on. */
  protectSender(transceiver: RTCRtpTransceiver, kind: MediaKind): void {
    preferReadable(transceiver, kind);
    this.#attach(transceiver.sender as unknown as Encoded, "send", kind);
  }

  protectReceiver(transceiver: RTCRtpTransceiver, kind: MediaKind): Watched {
    preferReadable(transceiver, kind);
    const id = this.#attach(transceiver.receiver as unknown as Encoded, "receive", kind);
    const watched = { readable: null as boolean | null, round: 0 };
    this.#watched.set(id, watched);
    return {
      get readable() {
        return watched.readable;
      },
      begin: () => {
        watched.round += 1;
        watched.readable = null;
        this.#say({ type: "begin", id, round: watched.round });
      },
      stop: () => {
        this.#watched.delete(id);
        this.#say({ type: "detach", id });
      },
    };
  }

  close(): void {
    this.#worker.onmessage = null;
    this.#worker.terminate();
    this.#watched.clear();
  }

  #attach(end: Encoded, side: Attach["side"], kind: MediaKind): number {
    const id = this.#next;
    this.#next += 1;
    const Transform = scriptTransform();
    if (Transform) {
      end.transform = new Transform(this.#worker, { side, kind, id });
    } else if (end.createEncodedStreams) {
      const { readable, writable } = end.createEncodedStreams();
      const message: ToWorker = { type: "attach", side, kind, id, readable, writable };
      this.#worker.postMessage(message, [readable, writable] as unknown as Transferable[]);
    } else {
      throw new Error("this browser cannot encrypt media");
    }
    return id;
  }

  #onTold({ id, round, readable }: FromWorker): void {
    const watched = this.#watched.get(id);
    // What is said of somebody who came before is of no use.
    if (!watched || watched.round !== round || watched.readable === readable) return;
    watched.readable = readable;
    this.#changed();
  }

  #say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}

/** Of several receivers: one that is read is enough; one that is not, only where none is. */
export function readableOf(watched: readonly (Watched | null)[]): boolean | null {
  const said = watched.map((each) => each?.readable ?? null);
  return said.includes(true) ? true : said.includes(false) ? false : null;
}

/** The codecs of which it is known what has to stay in the clear; no RED, which would hold several frames at once. */
function preferReadable(transceiver: RTCRtpTransceiver, kind: MediaKind): void {
  const able = typeof RTCRtpReceiver === "undefined" ? null : RTCRtpReceiver.getCapabilities(kind);
  const names = kind === "audio" ? ["audio/opus"] : ["video/vp8", "video/rtx"];
  const few = able?.codecs.filter(({ mimeType }) => names.includes(mimeType.toLowerCase())) ?? [];
  if (few.length > 0) transceiver.setCodecPreferences(few);
}

function scriptTransform(): ScriptTransform | null {
  const found = (globalThis as { RTCRtpScriptTransform?: ScriptTransform }).RTCRtpScriptTransform;
  return found ?? null;
}

function hasStreams(): boolean {
  return typeof RTCRtpSender === "function" && "createEncodedStreams" in RTCRtpSender.prototype;
}
