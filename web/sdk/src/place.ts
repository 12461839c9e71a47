// Keeps the resume token over a reload of the page.
//
// It is written when the page goes away and taken out when it comes back: a duplicated tab, which gets a copy of the
// session storage, then finds nothing and is a participant of its own.
import type { Place } from "./session";

export class PlaceKeeper {
  #storage: Storage | null;
  #key: string;

  /** Who comes with a key is somebody else than who comes without: the others are told which when one enters. */
  constructor(storage: Storage | null, server: string, room: string, encrypted: boolean) {
    this.#storage = storage;
    this.#key = `tandem place ${server} ${room}${encrypted ? " encrypted" : ""}`;
  }

  take(): Place | null {
    try {
      const token = this.#storage?.getItem(this.#key);
      this.#storage?.removeItem(this.#key);
      return token ? { token } : null;
    } catch {
      return null;
    }
  }

  keep(place: Place | null): void {
    try {
      if (place) this.#storage?.setItem(this.#key, place.token);
    } catch {
      // Storage is full or forbidden: the reloaded page enters as a new participant.
    }
  }

  forget(): void {
    this.take();
  }
}
