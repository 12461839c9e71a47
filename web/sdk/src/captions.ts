// What people say, in writing: the last few lines, each told again and again until it is done. Nothing of it is kept.
//
// In an encrypted call the text is sealed, bound to who says it and to the line, and what is not is nobody's line.
import { wellFormed } from "./chat";
import type { Sealer } from "./encryption/sealer";
import { CallError } from "./errors";
import type { Note } from "./generated";
import type { Request } from "./session";
import type { Caption } from "./types";

type CaptionNote = Extract<Note, { type: "caption" }>;

export interface CaptionsPort {
  self(): { id: string; name: string; chars: number } | null;
  nameOf(participant: string): string | null;
  /** Of an encrypted call. */
  sealer(): Sealer | null;
  request(frame: Request): Promise<void>;
  changed(): void;
}

export class Captions {
  #lines: readonly Caption[] = [];
  #port: CaptionsPort;
  #now: () => number;
  #out: Promise<void> = Promise.resolve();
  #in: Promise<void> = Promise.resolve();

  constructor(now: () => number, port: CaptionsPort) {
    this.#now = now;
    this.#port = port;
  }

  /** In the order in which they began. Replaced, never mutated. */
  get lines(): readonly Caption[] {
    return this.#lines;
  }

  async say(line: number, text: string, done: boolean, language: string): Promise<void> {
    const self = this.#port.self();
    if (!self) throw new CallError("not_joined", "You are not in a call.");
    const sealer = this.#port.sealer();
    // What is sealed has to be within the same bounds: four characters for three bytes, and a little for the seal.
    const most = sealer ? Math.floor((self.chars - SEAL) / 6) : self.chars;
    const clean = [...wellFormed(text)].slice(-most).join("");
    this.#show({ from: self.id, name: self.name, line, text: clean, done, language, at: this.#now(), mine: true });
    const sealed = sealer ? sealer.sealText(bound(self.id, line, done), clean) : Promise.resolve(clean);
    const next = this.#out.then(async () =>
      this.#port.request({ type: "caption", line, text: await sealed, done, language }),
    );
    this.#out = next.catch(() => undefined);
    await next;
  }

  handle({ from, line, text, done, language }: CaptionNote): void {
    const self = this.#port.self();
    const name = this.#port.nameOf(from);
    if (!self || name === null || text.length > self.chars * 2) return;
    const show = (plain: string): void =>
      this.#show({ from, name, line, text: plain, done, language, at: this.#now(), mine: false });
    const sealer = this.#port.sealer();
    if (!sealer) return show(text);
    const opened = sealer.openText(bound(from, line, done), text);
    this.#in = this.#in.then(async () => {
      const plain = await opened.catch(() => null);
      if (plain !== null && this.#port.sealer() === sealer) show(plain);
    });
  }

  clear(): void {
    this.#lines = [];
  }

  #show(caption: Caption): void {
    const isSame = (each: Caption): boolean => each.from === caption.from && each.line === caption.line;
    const known = this.#lines.some(isSame);
    this.#lines = known
      ? this.#lines.map((each) => (isSame(each) ? caption : each))
      : [...this.#lines.slice(1 - MOST_LINES), caption];
    this.#port.changed();
  }
}

function bound(from: string, line: number, done: boolean): string {
  return `${from} ${line} ${done ? "done" : "more"}`;
}

const MOST_LINES = 20;
/** Characters that header and tag of a sealed text take at most, in Base64. */
const SEAL = 64;
