// Short, quiet signs that something happened, made by WebAudio: no file is loaded.

export type Cue = "join" | "leave" | "message" | "ring";

/** One tone: hertz, and when it begins and how long it sounds, in seconds. */
export interface Note {
  readonly hertz: number;
  readonly at: number;
  readonly long: number;
}

/** Up is coming, down is going, one tap is a line, two taps twice is the door. */
export const CUES: Readonly<Record<Cue, readonly Note[]>> = {
  join: [
    { hertz: 523.25, at: 0, long: 0.16 },
    { hertz: 783.99, at: 0.1, long: 0.24 },
  ],
  leave: [
    { hertz: 587.33, at: 0, long: 0.16 },
    { hertz: 392, at: 0.1, long: 0.24 },
  ],
  message: [{ hertz: 880, at: 0, long: 0.14 }],
  ring: [
    { hertz: 659.26, at: 0, long: 0.2 },
    { hertz: 830.61, at: 0.14, long: 0.3 },
    { hertz: 659.26, at: 0.55, long: 0.2 },
    { hertz: 830.61, at: 0.69, long: 0.3 },
  ],
};

/** Peak of a tone, where full scale is 1: well below speech. */
export const LOUDNESS = 0.06;
/** Ten who come at once are one sign. */
const SAME_CUE_MS = 1_500;
const ATTACK_S = 0.015;

export class CuePlayer {
  readonly #createContext: () => AudioContext;
  readonly #now: () => number;
  readonly #played = new Map<Cue, number>();
  #context: AudioContext | null = null;
  #speakerId = "";

  constructor(createContext = (): AudioContext => new AudioContext(), now = (): number => performance.now()) {
    this.#createContext = createContext;
    this.#now = now;
  }

  /** Where it is heard; an empty identity is the system's choice. */
  setSpeaker(deviceId: string): void {
    this.#speakerId = deviceId;
    this.#aim();
  }

  /** Unless the same one was just heard, or the browser keeps the page silent: a sign that comes late is a lie. */
  play(cue: Cue): void {
    const now = this.#now();
    if (now - (this.#played.get(cue) ?? Number.NEGATIVE_INFINITY) < SAME_CUE_MS) return;
    this.#played.set(cue, now);
    const context = this.#open();
    if (context?.state === "running") {
      for (const note of CUES[cue]) sound(context, note);
    } else {
      context?.resume().catch(() => undefined);
    }
  }

  close(): void {
    this.#context?.close().catch(() => undefined);
    this.#context = null;
  }

  #open(): AudioContext | null {
    try {
      if (this.#context === null) {
        this.#context = this.#createContext();
        this.#aim();
      }
    } catch {
      // No way to make a sound here: the notices are also written.
    }
    return this.#context;
  }

  #aim(): void {
    const context = this.#context as (AudioContext & { setSinkId?(id: string): Promise<void> }) | null;
    // A speaker that was unplugged: the system chooses.
    context?.setSinkId?.(this.#speakerId).catch(() => undefined);
  }
}

function sound(context: AudioContext, { hertz, at, long }: Note): void {
  const start = context.currentTime + at;
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(LOUDNESS, start + ATTACK_S);
  gain.gain.exponentialRampToValueAtTime(0.0005, start + long);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(start + long);
}
