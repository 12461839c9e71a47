// Who is in the room, as long as one stands before it: asked at once and then now and then while the page is looked at.
import { lookInto, type Seen } from "../../lib/sdk.ts";

type Look = (room: string, options: { signal: AbortSignal }) => Promise<Seen | null>;

export class Doorway {
  /** `null` while it is not known. */
  seen = $state.raw<Seen | null>(null);
  readonly #room: string;
  readonly #look: Look;
  readonly #abort = new AbortController();

  constructor(room: string, look: Look = lookInto) {
    this.#room = room;
    this.#look = look;
  }

  /** Returns the function that ends it. */
  watch(): () => void {
    const ask = (): void => void this.#ask();
    const timer = setInterval(ask, EVERY_MS);
    document.addEventListener("visibilitychange", ask);
    ask();
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", ask);
      this.#abort.abort();
    };
  }

  async #ask(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    const { signal } = this.#abort;
    const seen = await this.#look(this.#room, { signal });
    if (!signal.aborted) this.seen = seen;
  }
}

const EVERY_MS = 15_000;
