// A short, soft tone on a chosen speaker: can you hear us?

const NOTES = [523.25, 659.25, 783.99];
const NOTE_S = 0.22;
const LOUDNESS = 0.16;

/** Plays three notes; resolves when they have ended. */
export async function playTestTone(speakerId: string): Promise<void> {
  if (typeof AudioContext === "undefined") return;
  const context = new AudioContext();
  try {
    const stream = context.createMediaStreamDestination();
    const last = NOTES.map((frequency, index) =>
      note(context, stream, frequency, context.currentTime + index * NOTE_S),
    ).at(-1);
    const audio = new Audio();
    audio.srcObject = stream.stream;
    // A speaker that is gone: the system's default answers instead.
    if (speakerId !== "" && "setSinkId" in audio) await audio.setSinkId(speakerId).catch(() => undefined);
    await audio.play();
    await new Promise((resolve) => last?.addEventListener("ended", resolve));
  } finally {
    await context.close();
  }
}

function note(context: AudioContext, to: AudioNode, frequency: number, at: number): OscillatorNode {
  const oscillator = new OscillatorNode(context, { frequency });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LOUDNESS, at + 0.03);
  gain.gain.exponentialRampToValueAtTime(0.001, at + NOTE_S * 2);
  oscillator.connect(gain).connect(to);
  oscillator.start(at);
  oscillator.stop(at + NOTE_S * 2);
  return oscillator;
}
