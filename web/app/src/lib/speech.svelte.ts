// What one says, written down by the browser: on this device where it can, else by a service of the browser's maker, which
// nobody is to find out afterwards.

interface Result {
  readonly isFinal: boolean;
  readonly 0: { readonly transcript: string };
}

interface Recognition {
  lang: string;
  continuous: boolean;
  interimResults: boolean;
  processLocally?: boolean;
  onresult: ((event: { resultIndex: number; results: ArrayLike<Result> }) => void) | null;
  onend: (() => void) | null;
  onerror: ((event: { error: string }) => void) | null;
  /** Browsers that do not take a track listen to the default microphone. */
  start(track?: MediaStreamTrack): void;
  abort(): void;
}

interface RecognitionClass {
  new (): Recognition;
  available?(options: { langs: string[]; processLocally: boolean }): Promise<string>;
}

export type Place = "here" | "elsewhere";
export type Say = (line: number, text: string, done: boolean, language: string) => void;

function known(): RecognitionClass | null {
  const scope = globalThis as { SpeechRecognition?: RecognitionClass; webkitSpeechRecognition?: RecognitionClass };
  return scope.SpeechRecognition ?? scope.webkitSpeechRecognition ?? null;
}

export function canWrite(): boolean {
  return known() !== null;
}

/** Where what is said would be understood. */
export async function placeFor(language: string): Promise<Place> {
  const options = { langs: [language], processLocally: true };
  const answer = await known()
    ?.available?.(options)
    .catch(() => "unavailable");
  return answer === "available" ? "here" : "elsewhere";
}

export class Writer {
  /** Where it is written down; `null`: it is not. */
  place = $state<Place | null>(null);
  readonly #language: string;
  readonly #say: Say;
  readonly #failed: () => void;
  #running: Recognition | null = null;
  #line = Math.floor(Date.now() / 1000) % 1_000_000_000;

  constructor(language: string, say: Say, failed: () => void) {
    this.#language = language;
    this.#say = say;
    this.#failed = failed;
  }

  /** Follows the microphone: who is muted is not listened to. */
  follow(track: MediaStreamTrack | null): () => void {
    if (this.place === null || track === null) return () => undefined;
    let over = false;
    const listen = (): void => {
      if (!over) this.#listen(track, this.place === "here", listen);
    };
    listen();
    return () => {
      over = true;
      this.#running?.abort();
      this.#running = null;
    };
  }

  #listen(track: MediaStreamTrack, isLocal: boolean, again: () => void): void {
    const Class = known();
    if (Class === null) return;
    const recognition = new Class();
    this.#running = recognition;
    recognition.lang = this.#language;
    recognition.continuous = true;
    recognition.interimResults = true;
    recognition.processLocally = isLocal;
    recognition.onresult = ({ resultIndex, results }) => this.#onResult(Array.from(results).slice(resultIndex));
    // A pause ends it; whoever was silent is not done.
    recognition.onend = () => setTimeout(again, AGAIN_MS);
    recognition.onerror = ({ error }) => {
      if (PASSING.has(error)) return;
      this.place = null;
      this.#failed();
    };
    try {
      recognition.start(track);
    } catch {
      this.place = null;
      this.#failed();
    }
  }

  #onResult(results: readonly Result[]): void {
    for (const result of results) {
      const text = result[0].transcript.trim();
      if (text !== "") this.#say(this.#line, text, result.isFinal, this.#language);
      if (result.isFinal) this.#line += 1;
    }
  }
}

const AGAIN_MS = 300;
/** Nothing was said, or we ended it ourselves. */
const PASSING: ReadonlySet<string> = new Set(["no-speech", "aborted"]);
