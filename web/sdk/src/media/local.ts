// All we send: microphone, camera, screen; and whether we speak.
import type { Deps } from "../deps";
import { CallError } from "../errors";
import type { Media } from "../generated";
import { SpeechDetector, type Meter } from "../level";
import type { Tracks } from "../peer/connection";
import { ALL, beyond } from "../rights";
import type { Local, Notice } from "../types";
import { Device } from "./device";
import { Screen } from "./screen";

export interface LocalOutput {
  /** Tracks or flags are different. */
  changed(): void;
  notice(notice: Notice): void;
}

export class LocalMedia {
  readonly microphone: Device;
  readonly camera: Device;
  readonly screen: Screen;
  #deps: Pick<Deps, "timers" | "startMeter" | "mediaDevices">;
  #output: LocalOutput;
  #speech = new SpeechDetector();
  #metered: MediaStreamTrack | null = null;
  #meter: Meter | null = null;
  #view: Local | null = null;
  #allowed: Media = ALL;

  constructor(deps: Pick<Deps, "timers" | "startMeter" | "mediaDevices">, output: LocalOutput) {
    this.#deps = deps;
    this.#output = output;
    const changed = (): void => this.#changed();
    this.microphone = new Device("microphone", deps.mediaDevices, {
      changed,
      lost: () => output.notice({ kind: "device_lost", device: "microphone" }),
    });
    this.camera = new Device("camera", deps.mediaDevices, {
      changed,
      lost: () => output.notice({ kind: "device_lost", device: "camera" }),
    });
    this.screen = new Screen(deps.mediaDevices, { changed, ended: () => output.notice({ kind: "screen_ended" }) });
  }

  /** What we may send: nothing beyond that is open. */
  allow(publish: Media): void {
    this.#allowed = publish;
    this.#keepWithin();
  }

  async switch(device: "microphone" | "camera", on: boolean, deviceId?: string): Promise<void> {
    if (!on) return this[device].switchOff();
    this.#mustBeAllowed(device === "microphone" ? "audio" : "video");
    await this[device].switchOn(deviceId);
  }

  async share(content: "detail" | "motion"): Promise<void> {
    this.#mustBeAllowed("screen");
    await this.screen.start(content);
  }

  get view(): Local {
    this.#view ??= {
      microphone: this.microphone.track,
      camera: this.camera.track,
      screen: this.screen.stream,
      screenSurface: this.screen.surface,
      speaking: this.#speech.speaking && this.microphone.track !== null,
      speakingWhileMuted: this.#speech.speaking && this.microphone.track === null && this.microphone.muted !== null,
    };
    return this.#view;
  }

  get tracks(): Tracks {
    return {
      microphone: this.microphone.track,
      camera: this.camera.track,
      screen: this.screen.video,
      screenSound: this.screen.sound,
    };
  }

  get flags(): Media {
    return {
      audio: this.microphone.track !== null,
      video: this.camera.track !== null,
      screen: this.screen.stream !== null,
    };
  }

  /** Everything stops; lights go out. */
  close(): void {
    this.microphone.close();
    this.camera.close();
    this.screen.stop();
    this.#changed();
  }

  #mustBeAllowed(what: keyof Media): void {
    if (!this.#allowed[what]) throw new CallError("not_permitted", "You may watch here, and not send that.");
  }

  #keepWithin(): void {
    const { audio, video, screen } = beyond(ALL, this.#allowed);
    if (audio) this.microphone.release();
    if (video) this.camera.release();
    if (screen) this.screen.stop();
  }

  #changed(): void {
    // What was being opened when the right to it was lost.
    this.#keepWithin();
    this.#listen();
    this.#view = null;
    this.#output.changed();
  }

  /** The meter follows the microphone, sent or only open. */
  #listen(): void {
    const track = this.microphone.track ?? this.microphone.muted;
    if (track === this.#metered) return;
    this.#meter?.stop();
    this.#metered = track;
    this.#speech = new SpeechDetector();
    this.#meter = track && this.#deps.startMeter(track, (level) => this.#onLevel(level));
  }

  #onLevel(level: number): void {
    if (!this.#speech.handleLevel(this.#deps.timers.now(), level)) return;
    this.#view = null;
    this.#output.changed();
  }
}
