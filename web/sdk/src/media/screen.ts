// Sharing the screen, a window or a tab. What was really chosen is only known afterwards, and may change while sharing.
import { CallError, deviceError } from "../errors";

export type Surface = "monitor" | "window" | "browser";

export interface ScreenOutput {
  changed(): void;
  /** Ended by the browser's own button, or because the window is gone. */
  ended(): void;
}

export class Screen {
  stream: MediaStream | null = null;
  surface: Surface | null = null;
  #mediaDevices: MediaDevices | null;
  #output: ScreenOutput;
  #wish = 0;

  constructor(mediaDevices: MediaDevices | null, output: ScreenOutput) {
    this.#mediaDevices = mediaDevices;
    this.#output = output;
  }

  get video(): MediaStreamTrack | null {
    return this.stream?.getVideoTracks()[0] ?? null;
  }

  get sound(): MediaStreamTrack | null {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  async start(content: "detail" | "motion"): Promise<void> {
    this.#wish += 1;
    const wish = this.#wish;
    if (!this.#mediaDevices?.getDisplayMedia) {
      throw new CallError("unsupported", "This browser cannot share the screen.");
    }
    const stream = await this.#mediaDevices.getDisplayMedia(options(content)).catch((error: unknown) => {
      throw deviceError(error, "screen");
    });
    if (wish !== this.#wish) {
      stopAll(stream);
      throw new CallError("aborted", "Sharing was stopped before it began.");
    }
    this.#use(stream, content);
  }

  stop(): void {
    this.#wish += 1;
    if (!this.stream) return;
    this.#release();
    this.#output.changed();
  }

  #use(stream: MediaStream, content: "detail" | "motion"): void {
    this.#release();
    this.stream = stream;
    const track = this.video;
    if (!track) {
      this.stop();
      throw new CallError("unsupported", "The browser gave no picture of the screen.");
    }
    track.contentHint = content;
    this.surface = surfaceOf(track);
    track.onended = () => {
      this.stop();
      this.#output.ended();
    };
    // Chromium lets the person switch to another surface while sharing, and says so.
    track.addEventListener("configurationchange", this.#onConfiguration);
    this.#output.changed();
  }

  #onConfiguration = (): void => {
    const track = this.video;
    if (!track) return;
    this.surface = surfaceOf(track);
    this.#output.changed();
  };

  #release(): void {
    const track = this.video;
    if (track) {
      track.onended = null;
      track.removeEventListener("configurationchange", this.#onConfiguration);
    }
    if (this.stream) stopAll(this.stream);
    this.stream = null;
    this.surface = null;
  }
}

function stopAll(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

function surfaceOf(track: MediaStreamTrack): Surface | null {
  const surface = track.getSettings().displaySurface;
  return surface === "monitor" || surface === "window" || surface === "browser" ? surface : null;
}

/** Members TypeScript does not know yet are in the Screen Capture draft; a browser that does not, ignores them. */
function options(content: "detail" | "motion"): DisplayMediaStreamOptions {
  const draft = {
    video: { frameRate: content === "detail" ? { ideal: 10, max: 15 } : { ideal: 30, max: 30 } },
    audio: true,
    monitorTypeSurfaces: "include",
    selfBrowserSurface: "exclude",
    surfaceSwitching: "include",
    systemAudio: "include",
  };
  return draft;
}
