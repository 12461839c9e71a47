// A level meter on a microphone track: for the green room, and to notice speech.

export interface Meter {
  stop(): void;
}

/**
 * Calls `listener` about 20 times a second with the level, 0 (silence) to 1 (full scale).
 * Returns `null` where the browser has no Web Audio.
 */
export function startMeter(track: MediaStreamTrack, listener: (level: number) => void): Meter | null {
  if (typeof AudioContext === "undefined") return null;
  const context = new AudioContext();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    listener(levelOf(samples));
  }, METER_INTERVAL_MS);
  // Without a gesture the context stays suspended until there is one; the level is then 0, which is true.
  context.resume().catch(() => undefined);
  return {
    stop() {
      clearInterval(timer);
      source.disconnect();
      context.close().catch(() => undefined);
    },
  };
}

/** Loudness of samples in -1..1 as an ear would place it between silence (-60 dB) and full scale: 0..1. */
export function levelOf(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const sample = samples[i] ?? 0;
    sum += sample * sample;
  }
  return loudness(Math.sqrt(sum / Math.max(1, samples.length)));
}

/** A linear amplitude, 0..1, on that same scale. */
export function loudness(amplitude: number): number {
  if (amplitude <= 0) return 0;
  return Math.min(1, Math.max(0, 1 + (20 * Math.log10(amplitude)) / SILENCE_DB));
}

/** Turns levels into "speaks": quick to start, slow to stop, so that the mark does not flicker between syllables. */
export class SpeechDetector {
  speaking = false;
  #above = 0;
  #lastLoud = Number.NEGATIVE_INFINITY;

  /** Returns whether `speaking` has changed. */
  handleLevel(now: number, level: number): boolean {
    const before = this.speaking;
    if (level >= SPEECH_LEVEL) {
      this.#above += 1;
      if (this.#above >= LOUD_SAMPLES) {
        this.#lastLoud = now;
        this.speaking = true;
      }
    } else {
      this.#above = 0;
      if (now - this.#lastLoud > HANGOVER_MS) this.speaking = false;
    }
    return this.speaking !== before;
  }
}

const METER_INTERVAL_MS = 50;
const SILENCE_DB = 60;
/** -36 dB of full scale. */
const SPEECH_LEVEL = 0.4;
const LOUD_SAMPLES = 2;
const HANGOVER_MS = 700;
