// Who has spoken lately. The server says so of those who send through it; of others we hear it ourselves. Pure.

export class Speakers {
  recent: readonly string[] = [];

  /** The whole list, the last one first. Tells whether anything is different. */
  handleServer(participants: readonly string[], you: string): boolean {
    const told = participants.filter((id) => id !== you);
    return this.#set([...told, ...this.recent.filter((id) => !told.includes(id))]);
  }

  /** Those who speak right now. */
  handleHeard(speaking: readonly string[]): boolean {
    // Whoever of them is in front stays there: two who speak at once do not take turns.
    const isFirst = this.recent[0] !== undefined && speaking.includes(this.recent[0]);
    const fresh = speaking.filter((id) => !(isFirst && id === this.recent[0]));
    const front = isFirst ? [this.recent[0] ?? "", ...fresh] : fresh;
    return this.#set([...front, ...this.recent.filter((id) => !front.includes(id))]);
  }

  /** Whoever has gone is forgotten. */
  keep(here: ReadonlySet<string>): void {
    this.recent = this.recent.filter((id) => here.has(id));
  }

  clear(): void {
    this.recent = [];
  }

  #set(all: readonly string[]): boolean {
    const recent = all.slice(0, MOST);
    if (recent.length === this.recent.length && recent.every((id, i) => id === this.recent[i])) return false;
    this.recent = recent;
    return true;
  }
}

const MOST = 64;
