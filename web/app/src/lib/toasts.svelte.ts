// What is said in passing: shown for a while, and read aloud once by the live region.

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: "plain" | "danger";
}

const SHOWN_MS = 5000;
const AT_ONCE = 3;

export class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  /** The last sentence, for screen readers only. */
  spoken = $state("");
  #next = 1;

  /** Shows and reads aloud. */
  show(text: string, tone: Toast["tone"] = "plain"): void {
    if (text === "") return;
    const toast = { id: this.#next++, text, tone };
    this.list = [...this.list, toast].slice(-AT_ONCE);
    this.speak(text);
    setTimeout(() => this.dismiss(toast.id), SHOWN_MS);
  }

  /** Only reads aloud: what the eye sees anyway. */
  speak(text: string): void {
    // A sentence said twice is announced twice only if the text differs.
    this.spoken = this.spoken === text ? `${text}\u00a0` : text;
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}
