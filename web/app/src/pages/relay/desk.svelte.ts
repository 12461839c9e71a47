// What the page's parts share: who is signed in, the keys, and what went wrong.
import type { TurnKey } from "../../generated/turn.ts";
import { RelayApi, Refused } from "../../lib/relay/api.ts";
import { readItem, session, writeItem } from "../../lib/storage.ts";
import { Toasts } from "../../lib/toasts.svelte.ts";
import { relayWords } from "./words.ts";

/** In `sessionStorage` only: gone with the tab. */
const KEPT = "tandem.operator-key";

export type Door = "closed" | "opening" | "open" | "wrong";

export class Desk {
  door = $state<Door>("closed");
  keys = $state.raw<readonly TurnKey[]>([]);
  /** Empty: nothing is wrong. */
  problem = $state("");
  readonly toasts = new Toasts();
  #api: RelayApi | null = null;

  get api(): RelayApi {
    if (this.#api === null) throw new Error("expected somebody to be signed in");
    return this.#api;
  }

  /** With the key this tab has had before. */
  async reopen(): Promise<void> {
    const key = readItem(KEPT, session());
    if (key !== null) await this.signIn(key);
  }

  async signIn(key: string): Promise<void> {
    this.door = "opening";
    this.problem = "";
    this.#api = new RelayApi(key.trim());
    if (!(await this.refresh())) {
      if (this.door === "opening") this.door = "closed";
      return;
    }
    writeItem(KEPT, key.trim(), session());
    this.door = "open";
  }

  signOut(): void {
    writeItem(KEPT, null, session());
    this.#api = null;
    this.keys = [];
    this.problem = "";
    this.door = "closed";
  }

  /** Reads the keys. */
  async refresh(): Promise<boolean> {
    const list = await this.try(() => this.api.keys());
    if (list !== null) this.keys = list.keys;
    return list !== null;
  }

  /** Does it, or says why not: `null`. */
  async try<T>(act: () => Promise<T>): Promise<T | null> {
    try {
      const done = await act();
      this.problem = "";
      return done;
    } catch (error) {
      this.#say(error);
      return null;
    }
  }

  /** What people call a key. Empty: this server's own calls. */
  name(id: string | undefined): string {
    if (id === undefined || id === "") return relayWords().sessions.own;
    return this.keys.find((key) => key.id === id)?.name ?? `${id} (${relayWords().usage.gone})`;
  }

  #say(error: unknown): void {
    const t = relayWords().problem;
    if (!(error instanceof Refused)) {
      this.problem = error instanceof Error ? error.message : String(error);
    } else if (error.status === 401) {
      this.signOut();
      this.door = "wrong";
    } else {
      this.problem = error.status === 0 ? t.noAnswer : t.refused(error.message);
    }
  }
}
