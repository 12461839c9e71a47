// Messages through the server's media plane: two data channels of the connection to it, `reliable` and `lossy`.
//
//   to the server   | to, 32 bits: number of a participant, 0: all others | kind, 8 bits | payload |
//   from it         | from, 32 bits                                        | kind, 8 bits | payload |
//
// The server puts in who it is from; everything behind that is between participants. On the reliable lane nothing is lost in
// silence: who reads too slowly has it closed by the server, and opens another.
import type { Timers } from "../deps";
import { concat, type Bytes } from "../bytes";

export interface LanesPort {
  message(from: string, kind: number, payload: Bytes, reliable: boolean): void;
  /** The reliable lane has opened, or has closed: what was under way on it is lost. */
  changed(): void;
}

type Opener = Pick<RTCPeerConnection, "createDataChannel" | "connectionState">;

export class Lanes {
  #timers: Timers;
  #port: LanesPort;
  #pc: Opener | null = null;
  #reliable: RTCDataChannel | null = null;
  #lossy: RTCDataChannel | null = null;
  #waiting: (() => void)[] = [];
  #cancelRetry: (() => void) | null = null;

  constructor(timers: Timers, port: LanesPort) {
    this.#timers = timers;
    this.#port = port;
  }

  get isOpen(): boolean {
    return this.#reliable?.readyState === "open";
  }

  get bufferedAmount(): number {
    return this.#reliable?.bufferedAmount ?? 0;
  }

  /** On a new connection, before its first offer. */
  open(pc: Opener): void {
    this.close();
    this.#pc = pc;
    this.#openReliable(pc);
    this.#lossy = this.#listen(pc.createDataChannel("lossy", { ordered: false, maxRetransmits: 0 }), false);
  }

  close(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#pc = null;
    for (const channel of [this.#reliable, this.#lossy]) if (channel) silence(channel);
    const was = this.#reliable;
    this.#reliable = this.#lossy = null;
    this.#wake();
    if (was) this.#port.changed();
  }

  /** Answers whether it is on its way; `null` as addressee: all others. */
  send(to: string | null, kind: number, payload: Uint8Array, reliable: boolean): boolean {
    const channel = reliable ? this.#reliable : this.#lossy;
    const number = to === null ? 0 : numberOf(to);
    if (channel?.readyState !== "open" || number === null) return false;
    if (!reliable && channel.bufferedAmount > LOSSY_WAITS) return false;
    const head = new Uint8Array(HEADER);
    const view = new DataView(head.buffer);
    view.setUint32(0, number);
    view.setUint8(4, kind);
    try {
      channel.send(concat(head, payload));
      return true;
    } catch {
      // It closed in this very moment, or its buffer is full.
      return false;
    }
  }

  /** Resolves when there is room on the reliable lane, or when it is gone. */
  async room(): Promise<void> {
    while (this.isOpen && this.bufferedAmount >= HIGH_BYTES) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #openReliable(pc: Opener): void {
    const channel = this.#listen(pc.createDataChannel("reliable"), true);
    this.#reliable = channel;
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.onbufferedamountlow = () => this.#wake();
    channel.onopen = () => this.#port.changed();
    channel.onclose = () => this.#onClosed(channel);
  }

  #onClosed(channel: RTCDataChannel): void {
    if (this.#reliable !== channel) return;
    silence(channel);
    this.#wake();
    this.#port.changed();
    const pc = this.#pc;
    // Not at once: whoever is too slow is not to be flooded again and again.
    this.#cancelRetry = this.#timers.after(AGAIN_MS, () => {
      if (this.#pc === pc && pc && pc.connectionState !== "closed") this.#openReliable(pc);
    });
  }

  #listen(channel: RTCDataChannel, reliable: boolean): RTCDataChannel {
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }: MessageEvent<unknown>) => this.#onMessage(data, reliable);
    return channel;
  }

  #onMessage(data: unknown, reliable: boolean): void {
    if (!(data instanceof ArrayBuffer) || data.byteLength < HEADER || data.byteLength > MAX_MESSAGE) return;
    const view = new DataView(data);
    this.#port.message(`p${view.getUint32(0)}`, view.getUint8(4), new Uint8Array(data, HEADER), reliable);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** `p7` → 7, as the server names participants. */
function numberOf(id: string): number | null {
  const digits = /^p([1-9]\d{0,9})$/.exec(id)?.[1];
  const number = Number(digits);
  return digits !== undefined && number <= 0xffff_ffff ? number : null;
}

function silence(channel: RTCDataChannel): void {
  channel.onopen = channel.onclose = channel.onmessage = channel.onbufferedamountlow = null;
}

const HEADER = 5;
const MAX_MESSAGE = 256 * 1024;
const HIGH_BYTES = 256 * 1024;
const LOW_BYTES = 64 * 1024;
const LOSSY_WAITS = 64 * 1024;
const AGAIN_MS = 1_000;
