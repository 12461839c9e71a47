// Typed events. One listener's exception does not keep the others from hearing.

export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<(value: never) => void>>();

  /** Returns the function that removes the listener. */
  on<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void {
    const set = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, set);
    // A wrapper, so that the same function may listen twice and be removed once.
    const entry = (value: Events[K]): void => listener(value);
    set.add(entry);
    return () => set.delete(entry);
  }

  emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        (listener as (value: Events[K]) => void)(value);
      } catch (error) {
        console.error("a listener of the call failed", error);
      }
    }
  }
}
