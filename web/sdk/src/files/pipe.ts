// One `files` data channel, with back-pressure: a sender asks for room before each piece.
import type { FileMessage } from "./protocol";

export class FilePipe {
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

  say(message: FileMessage): void {
    if (this.open) this.#channel.send(JSON.stringify(message));
  }

  sendPiece(piece: Uint8Array<ArrayBuffer>): void {
    if (this.open) this.#channel.send(piece);
  }

  /** Resolves when there is room for another piece, or when the channel is gone. */
  async room(): Promise<void> {
    while (this.open && this.#channel.bufferedAmount >= HIGH_BYTES) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  close(): void {
    this.#channel.onbufferedamountlow = null;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const HIGH_BYTES = 1024 * 1024;
const LOW_BYTES = 256 * 1024;
