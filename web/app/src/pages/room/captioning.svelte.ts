// Captions as the page shows and makes them: whether they are shown, and whether what we say is written down.
import { readItem, writeItem } from "../../lib/storage.ts";
import type { CallView } from "../../lib/call-view.svelte.ts";
import { canWrite, placeFor, Writer } from "../../lib/speech.svelte.ts";

export class Captioning {
  shown = $state(readItem(KEY) === "shown");
  readonly canWrite = canWrite();
  readonly #writer: Writer;
  readonly #language: string;

  constructor(view: CallView, failed: () => void) {
    // As one speaks, which need not be the language of the page.
    this.#language = navigator.language;
    const say = (...caption: Parameters<typeof view.call.caption>): void => {
      // A line that did not get through is followed by the next one.
      view.call.caption(...caption).catch(() => undefined);
    };
    this.#writer = new Writer(this.#language, say, failed);
    // The call says all the time that something is different: what is listened to begins anew with another track only.
    const track = $derived(view.local.microphone);
    $effect(() => this.#writer.follow(track));
  }

  get writing(): boolean {
    return this.#writer.place !== null;
  }

  toggle(): void {
    this.shown = !this.shown;
    writeItem(KEY, this.shown ? "shown" : null);
  }

  /** Begins where nothing leaves this device; else answers that it would, and waits for `writeElsewhere`. */
  async write(): Promise<"begun" | "would leave"> {
    if ((await placeFor(this.#language)) === "elsewhere") return "would leave";
    this.#writer.place = "here";
    return "begun";
  }

  writeElsewhere(): void {
    this.#writer.place = "elsewhere";
  }

  stop(): void {
    this.#writer.place = null;
  }
}

const KEY = "tandem.captions";
