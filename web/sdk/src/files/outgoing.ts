// A file on its way to one participant.
import type { Timers } from "../deps";
import { Sha256, toHex } from "../sha256";
import type { FileTransfer } from "../types";
import { writePiece, PIECE_BYTES, type FileMessage } from "./protocol";
import type { FilePipe } from "./pipe";

export class Outgoing {
  view: FileTransfer;
  #number: number;
  #file: File;
  #pipe: FilePipe | null;
  #changed: () => void;
  #timers: Timers;
  /** Sent, and known to have come. */
  #sent = 0;
  #got = 0;
  #cancelPatience: (() => void) | null = null;

  // eslint-disable-next-line max-params -- what it is, by what it goes, and who wants to know
  constructor(
    view: FileTransfer,
    number: number,
    file: File,
    pipe: FilePipe | null,
    timers: Timers,
    changed: () => void,
  ) {
    this.#timers = timers;
    this.view = view;
    this.#number = number;
    this.#file = file;
    this.#pipe = pipe;
    this.#changed = changed;
  }

  offer(): void {
    const { name, size, type } = this.view;
    this.#pipe?.say({ type: "offer", id: this.#number, name, size, mime: type });
  }

  handleMessage(message: FileMessage): void {
    switch (message.type) {
      case "accept":
        if (this.view.state === "waiting") this.#begin();
        return;
      case "decline":
        if (this.view.state === "waiting") this.#set({ state: "declined", reason: message.reason });
        return;
      case "stop":
        if (this.#open) this.#set({ state: "cancelled", reason: message.reason });
        return;
      case "bad":
        if (this.#open) this.#set({ state: "failed", reason: message.reason });
        return;
      case "done":
        if (this.view.state === "running" && this.view.sha256) this.#set({ state: "finished" });
        return;
      case "got":
        return this.#onGot(message.done);
      case "offer":
      case "withdraw":
      case "end":
    }
  }

  cancel(): void {
    if (!this.#open) return;
    this.#set({ state: "cancelled", reason: null });
    this.#pipe?.say({ type: "withdraw", id: this.#number });
  }

  /** The connection is gone. */
  fail(reason: string): void {
    if (this.#open) this.#set({ state: "failed", reason });
  }

  get #open(): boolean {
    return this.view.state === "waiting" || this.view.state === "running";
  }

  #begin(): void {
    this.#set({ state: "running" });
    this.#run().catch(() => {
      // The file was deleted or changed on disk, or is no longer readable.
      if (!this.#open) return;
      this.#set({ state: "failed", reason: "the file cannot be read" });
      this.#pipe?.say({ type: "withdraw", id: this.#number });
    });
  }

  async #run(): Promise<void> {
    const pipe = this.#pipe;
    if (!pipe) return;
    const hash = new Sha256();
    for (let at = 0; at < this.#file.size; at += READ_BYTES) {
      const block = new Uint8Array(await this.#file.slice(at, at + READ_BYTES).arrayBuffer());
      hash.update(block);
      for (let start = 0; start < block.length; start += PIECE_BYTES) {
        await pipe.room();
        if (this.view.state !== "running") return;
        const piece = block.subarray(start, start + PIECE_BYTES);
        this.#count(piece.length);
        await pipe.sendPiece(writePiece(this.#number, piece));
        this.#set({ done: at + start + piece.length });
      }
    }
    if (this.view.state !== "running") return;
    const sha256 = toHex(hash.digest());
    this.#set({ sha256 });
    pipe.say({ type: "end", id: this.#number, sha256 });
  }

  /** Where the other side says how far it has come: it does, or it is not there any more. */
  #count(bytes: number): void {
    if (!this.#pipe?.confirms) return;
    this.#sent += bytes;
    this.#pipe.count(bytes);
    this.#cancelPatience ??= this.#timers.after(PATIENCE_MS, () => {
      this.fail("the connection was lost");
      this.#pipe?.say({ type: "withdraw", id: this.#number });
    });
  }

  #onGot(done: number): void {
    if (done <= this.#got || done > this.#sent || !this.#open) return;
    this.#pipe?.count(this.#got - done);
    this.#got = done;
    this.#stopWaiting();
  }

  /** It is over: others need not wait for it. */
  #release(): void {
    this.#stopWaiting();
    if (this.#sent > this.#got) this.#pipe?.count(this.#got - this.#sent);
    this.#sent = this.#got;
  }

  #stopWaiting(): void {
    this.#cancelPatience?.();
    this.#cancelPatience = null;
  }

  #set(change: Partial<FileTransfer>): void {
    this.view = { ...this.view, ...change };
    if (!this.#open) this.#release();
    this.#changed();
  }
}

const READ_BYTES = PIECE_BYTES * 16;
const PATIENCE_MS = 30_000;
