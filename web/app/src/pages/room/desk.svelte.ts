// What the call page itself knows: what is open, how the stage is laid out, what is unread. The call knows the rest.
import type { CallView } from "../../lib/call-view.svelte.ts";
import { readItem, writeItem } from "../../lib/storage.ts";

export type Layout = "grid" | "speaker" | "side";
export type Panel = "chat" | "people";
export type DialogName = "invite" | "stats" | "settings" | "shortcuts" | "share" | "breakouts" | "remote-speech";

const LAYOUTS: readonly Layout[] = ["grid", "speaker", "side"];
const KEY = "tandem.layout";

export class Desk {
  panel = $state<Panel | null>(null);
  dialog = $state<DialogName | null>(null);
  pinned = $state<string | null>(null);
  chatTo = $state("");
  fullscreen = $state(false);
  /** When a file was first seen, for its place among the chat lines. */
  // Nothing is drawn from it: it only remembers.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity
  readonly seenFiles = new Map<string, number>();
  #chosen = $state<Layout | null>(parseLayout(readItem(KEY)));
  #readLines = $state(0);
  #readFiles = $state(0);
  readonly #view: CallView;

  constructor(view: CallView) {
    this.#view = view;
  }

  /** As chosen; before that, two people face each other and more stand in a grid. */
  get layout(): Layout {
    return this.#chosen ?? (this.#view.present.length > 1 && !this.someonePresents ? "grid" : "speaker");
  }

  get someonePresents(): boolean {
    return this.#view.peers.some(({ info }) => info.media.screen);
  }

  get unread(): number {
    if (this.panel === "chat") return 0;
    const lines = this.#view.chat.slice(this.#readLines).filter(({ mine }) => !mine).length;
    const files = this.#view.files.slice(this.#readFiles).filter(({ direction }) => direction === "in").length;
    return lines + files;
  }

  /** Everything there is has been seen. Called while the chat is open. */
  markRead(): void {
    this.#readLines = this.#view.chat.length;
    this.#readFiles = this.#view.files.length;
  }

  choose(layout: Layout): void {
    this.#chosen = layout;
    this.pinned = null;
    writeItem(KEY, layout);
    if (layout === "side") this.panel ??= "chat";
  }

  nextLayout(): Layout {
    const next = LAYOUTS[(LAYOUTS.indexOf(this.layout) + 1) % LAYOUTS.length] ?? "grid";
    this.choose(next);
    return next;
  }

  toggle(panel: Panel): void {
    this.panel = this.panel === panel ? null : panel;
  }

  /** Elsewhere there are other people. */
  handleMoved(): void {
    this.pinned = null;
    this.chatTo = "";
    if (this.dialog === "breakouts") this.dialog = null;
  }

  writeTo(participant: string): void {
    this.chatTo = participant;
    this.panel = "chat";
  }
}

function parseLayout(text: string | null): Layout | null {
  return LAYOUTS.find((layout) => layout === text) ?? null;
}
