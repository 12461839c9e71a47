// The microphone or the camera: on, off, another one, lost. Off stops the track, and with it the light.
//
// The last wish wins: whoever asks for something else while the browser still shows its prompt makes the earlier wish
// fail with `aborted`, and a track that arrives too late is stopped at once.
import { CallError, deviceError } from "../errors";

export type DeviceKind = "microphone" | "camera";

export interface DeviceOutput {
  changed(): void;
  /** Unplugged, or taken away by the system. */
  lost(): void;
}

export class Device {
  /** What is sent. */
  track: MediaStreamTrack | null = null;
  /** Open, but sent to nobody: only with `keepOpen`. */
  muted: MediaStreamTrack | null = null;
  /** When switched off, stay open for the page's own ears. */
  keepOpen = false;
  #kind: DeviceKind;
  #mediaDevices: MediaDevices | null;
  #output: DeviceOutput;
  #deviceId: string | undefined;
  #wish = 0;

  constructor(kind: DeviceKind, mediaDevices: MediaDevices | null, output: DeviceOutput) {
    this.#kind = kind;
    this.#mediaDevices = mediaDevices;
    this.#output = output;
  }

  /** Take a track the page opened before the call. */
  adopt(track: MediaStreamTrack | null): void {
    this.#wish += 1;
    const id = track?.getSettings().deviceId;
    if (id) this.#deviceId = id;
    this.#use(track?.readyState === "ended" ? null : track);
  }

  async switchOn(deviceId?: string): Promise<void> {
    this.#wish += 1;
    const wish = this.#wish;
    const wanted = deviceId ?? this.#deviceId;
    if (this.muted && (deviceId === undefined || deviceId === this.#deviceId)) {
      const track = this.muted;
      this.muted = null;
      this.#use(track);
      return;
    }
    if (this.track && (deviceId === undefined || deviceId === this.#deviceId)) return;
    const track = await this.#open(wanted, deviceId !== undefined);
    if (wish !== this.#wish) {
      track.stop();
      throw new CallError("aborted", `The ${this.#kind} was switched otherwise meanwhile.`);
    }
    this.#deviceId = track.getSettings().deviceId ?? wanted;
    this.#use(track);
  }

  switchOff(): void {
    this.#wish += 1;
    if (this.keepOpen && this.track) {
      const track = this.track;
      this.track = null;
      this.#release(this.muted);
      this.muted = track;
      this.#output.changed();
      return;
    }
    this.#use(null);
  }

  /** Nothing is open any more, and what is being opened will not be kept. */
  release(): void {
    this.#wish += 1;
    if (this.track ?? this.muted) this.#use(null);
  }

  close(): void {
    this.keepOpen = false;
    this.#wish += 1;
    this.#release(this.track);
    this.#release(this.muted);
    this.track = null;
    this.muted = null;
    this.#deviceId = undefined;
  }

  async #open(deviceId: string | undefined, exact: boolean): Promise<MediaStreamTrack> {
    const devices = this.#mediaDevices;
    if (!devices?.getUserMedia) {
      throw new CallError(
        "unsupported",
        `This page cannot use the ${this.#kind}: the browser or the address forbids it.`,
      );
    }
    try {
      return await this.#ask(devices, deviceId, exact);
    } catch (error) {
      // Some systems open one device at a time only: let go of ours and ask again.
      if (!this.track || deviceError(error, this.#kind).reason !== "device_busy") throw deviceError(error, this.#kind);
      this.#use(null);
      return this.#ask(devices, deviceId, exact).catch((again: unknown) => {
        throw deviceError(again, this.#kind);
      });
    }
  }

  async #ask(devices: MediaDevices, deviceId: string | undefined, exact: boolean): Promise<MediaStreamTrack> {
    const which = deviceId === undefined ? {} : { deviceId: exact ? { exact: deviceId } : { ideal: deviceId } };
    const constraints =
      this.#kind === "microphone" ? { audio: { ...AUDIO, ...which } } : { video: { ...VIDEO, ...which } };
    const stream = await devices.getUserMedia(constraints);
    const [track, ...others] = stream.getTracks();
    for (const other of others) other.stop();
    if (!track) throw new CallError("no_device", `The browser gave no ${this.#kind}.`);
    return track;
  }

  #use(track: MediaStreamTrack | null): void {
    if (this.track !== track) this.#release(this.track);
    if (this.muted !== track) this.#release(this.muted);
    this.muted = null;
    this.track = track;
    if (track) {
      if (this.#kind === "camera") track.contentHint = "motion";
      track.onended = () => this.#onEnded(track);
    }
    this.#output.changed();
  }

  #onEnded(track: MediaStreamTrack): void {
    if (track !== this.track && track !== this.muted) return;
    this.#wish += 1;
    this.track = null;
    this.muted = null;
    this.#output.changed();
    this.#output.lost();
  }

  #release(track: MediaStreamTrack | null): void {
    if (!track) return;
    track.onended = null;
    track.stop();
  }
}

export const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
export const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 30 },
};
