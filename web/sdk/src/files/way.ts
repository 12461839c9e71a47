// By what a file can go to one participant: a data channel of the connection to it, or the lane through the server.
import type { Lanes } from "../plane/lanes";
import type { Bytes } from "../bytes";
import { KIND, marked } from "../messages";

export interface FileWay {
  readonly open: boolean;
  readonly bufferedAmount: number;
  /**
   * Bytes of pieces that the other side has not said to have yet, at most; `null`: any number. The server keeps little for
   * somebody whose network is slower than ours, and cuts off whoever it would have to keep more for.
   */
  readonly window: number | null;
  send(kind: number, payload: Bytes): void;
  /** Resolves when there is less waiting than before, or when it is gone. */
  drained(): Promise<void>;
  close(): void;
}

/** In its own channel a message is told from a piece by being text, as long as nothing is sealed. */
export class DirectWay implements FileWay {
  readonly window = null;
  #channel: RTCDataChannel;
  #waiting: (() => void)[] = [];

  constructor(channel: RTCDataChannel) {
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.onbufferedamountlow = () => this.#wake();
  }

  get open(): boolean {
    return this.#channel.readyState === "open";
  }

  get bufferedAmount(): number {
    return this.#channel.bufferedAmount;
  }

  send(kind: number, payload: Bytes): void {
    if (kind === KIND.fileText) this.#channel.send(new TextDecoder().decode(payload));
    else if (kind === KIND.filePiece) this.#channel.send(payload);
    else this.#channel.send(marked(kind, payload));
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#channel.onbufferedamountlow = null;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export class LaneWay implements FileWay {
  readonly window = WINDOW_BYTES;
  #lanes: Lanes;
  #peer: string;
  #closed = false;

  constructor(lanes: Lanes, peer: string) {
    this.#lanes = lanes;
    this.#peer = peer;
  }

  get open(): boolean {
    return !this.#closed && this.#lanes.isOpen;
  }

  get bufferedAmount(): number {
    return this.#lanes.bufferedAmount;
  }

  send(kind: number, payload: Bytes): void {
    this.#lanes.send(this.#peer, kind, payload, true);
  }

  drained(): Promise<void> {
    return this.#lanes.room();
  }

  close(): void {
    this.#closed = true;
  }
}

const LOW_BYTES = 256 * 1024;
const WINDOW_BYTES = 128 * 1024;
