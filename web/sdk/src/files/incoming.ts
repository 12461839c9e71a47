// A file coming from one participant. Nothing is taken before it was accepted, and never more than was announced.
import { Sha256, toHex } from "../sha256";
import type { FileTransfer } from "../types";
import type { FileMessage } from "./protocol";
import type { FilePipe } from "./pipe";

export class Incoming {
  view: FileTransfer;
  #number: number;
  #pipe: FilePipe;
  #changed: () => void;
  #hash = new Sha256();
  /** Pieces not yet folded into a blob, which the browser may keep on disk. */
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #pieceBytes = 0;
  #blobs: Blob[] = [];
  /** How far we were when we last said so. */
  #told = 0;

  constructor(view: FileTransfer, number: number, pipe: FilePipe, changed: () => void) {
    this.view = view;
    this.#number = number;
    this.#pipe = pipe;
    this.#changed = changed;
  }

  accept(): void {
    if (this.view.state !== "offered") return;
    this.#set({ state: "running" });
    this.#pipe.say({ type: "accept", id: this.#number });
  }

  decline(reason: string): void {
    if (this.view.state !== "offered") return;
    this.#set({ state: "declined", reason: reason === "" ? null : reason });
    this.#pipe.say({ type: "decline", id: this.#number, reason });
  }

  cancel(): void {
    if (this.view.state === "offered") this.decline("");
    if (this.view.state !== "running") return;
    this.#drop("cancelled", null);
    this.#pipe.say({ type: "stop", id: this.#number, reason: "" });
  }

  /** The connection is gone. */
  fail(reason: string): void {
    if (this.#open) this.#drop("failed", reason);
  }

  handlePiece(bytes: Uint8Array<ArrayBuffer>): void {
    // What was on its way when we cancelled.
    if (this.view.state !== "running") return;
    const done = this.view.done + bytes.length;
    if (done > this.view.size) {
      this.#refuse("more came than was announced");
      return;
    }
    this.#hash.update(bytes);
    this.#pieces.push(bytes);
    this.#pieceBytes += bytes.length;
    if (this.#pieceBytes >= FOLD_BYTES) this.#fold();
    this.#set({ done });
    if (!this.#pipe.confirms || done - this.#told < TELL_BYTES) return;
    this.#told = done;
    this.#pipe.say({ type: "got", id: this.#number, done });
  }

  handleMessage(message: FileMessage): void {
    if (message.type === "withdraw" && this.#open) this.#drop("cancelled", "the sender took it back");
    if (message.type === "end" && this.view.state === "running") this.#finish(message.sha256);
  }

  get #open(): boolean {
    return this.view.state === "offered" || this.view.state === "running";
  }

  #finish(announced: string): void {
    if (this.view.done !== this.view.size) {
      this.#refuse("less came than was announced");
      return;
    }
    const sha256 = toHex(this.#hash.digest());
    if (sha256 !== announced) {
      this.#refuse("what came is not what was sent (SHA-256 differs)");
      return;
    }
    this.#fold();
    const blob = new Blob(this.#blobs, { type: this.view.type });
    this.#blobs = [];
    this.#set({ state: "finished", blob, sha256 });
    this.#pipe.say({ type: "done", id: this.#number });
  }

  #refuse(reason: string): void {
    this.#drop("failed", reason);
    this.#pipe.say({ type: "bad", id: this.#number, reason });
  }

  #drop(state: "cancelled" | "failed", reason: string | null): void {
    this.#pieces = [];
    this.#blobs = [];
    this.#set({ state, reason });
  }

  #fold(): void {
    if (this.#pieces.length > 0) this.#blobs.push(new Blob(this.#pieces));
    this.#pieces = [];
    this.#pieceBytes = 0;
  }

  #set(change: Partial<FileTransfer>): void {
    this.view = { ...this.view, ...change };
    this.#changed();
  }
}

const TELL_BYTES = 32 * 1024;
const FOLD_BYTES = 4 * 1024 * 1024;
