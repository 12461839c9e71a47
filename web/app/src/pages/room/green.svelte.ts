// What the green room holds: the tracks, the devices, and what went wrong. The page only shows it.
import type { Captured } from "../../lib/capture.ts";
import {
  devicesByKind,
  deviceTrouble,
  isAllowed,
  NO_DEVICES,
  openPreferred,
  type DeviceLists,
  type DeviceTrouble,
  type Input,
} from "../../lib/media.ts";
import { captureConstraints, onDevicesChanged } from "../../lib/sdk.ts";
import { readPreferences, rememberPreferences, type Preferences } from "../../lib/preferences.ts";

export class Green {
  microphone = $state.raw<MediaStreamTrack | null>(null);
  camera = $state.raw<MediaStreamTrack | null>(null);
  devices = $state.raw<DeviceLists>(NO_DEVICES);
  asking = $state(false);
  trouble = $state.raw<{ what: Input | "both"; why: DeviceTrouble } | null>(null);
  /** The person has switched the microphone off, or it cannot be had: joining does not ask for it. */
  silent = $state(false);
  preferences = $state.raw<Preferences>(readPreferences());

  #stopWatching = onDevicesChanged(() => void this.#list());
  #closed = false;

  /** Opens what was on the last time, if that asks the person nothing. */
  async start(): Promise<void> {
    await this.#list();
    this.silent = !this.preferences.microphoneOn;
    const microphone = this.preferences.microphoneOn && (await isAllowed("microphone"));
    const camera = this.preferences.cameraOn && (await isAllowed("camera"));
    if (microphone && camera) await this.turnOnBoth();
    else if (microphone) await this.turnOn("microphone");
    else if (camera) await this.turnOn("camera");
  }

  remember(changes: Partial<Preferences>): void {
    this.preferences = { ...this.preferences, ...changes };
    rememberPreferences(changes);
  }

  async turnOnBoth(): Promise<void> {
    await this.turnOn("microphone");
    const first = this.trouble;
    await this.turnOn("camera");
    if (first !== null && this.trouble !== null && first.why === this.trouble.why)
      this.trouble = { what: "both", why: first.why };
    else this.trouble ??= first;
  }

  async turnOn(input: Input): Promise<void> {
    this.asking = true;
    this.trouble = null;
    try {
      const track = await openPreferred(input, this.preferences[input === "microphone" ? "microphoneId" : "cameraId"]);
      this.#take(input, track);
    } catch (error) {
      this.trouble = { what: input, why: deviceTrouble(error) };
      if (input === "microphone") this.silent = true;
    } finally {
      this.asking = false;
    }
  }

  /** What the browser's own button asks for. */
  get constraints(): MediaStreamConstraints {
    return captureConstraints(this.preferences.microphoneId, this.preferences.cameraId);
  }

  /** The browser's own button has opened both, or one of them. */
  adopt({ microphone, camera }: Captured): void {
    this.trouble = null;
    if (microphone !== null) this.#take("microphone", microphone);
    if (camera !== null) this.#take("camera", camera);
  }

  /** It has not. Joining then does not ask once more. */
  refuse(why: DeviceTrouble): void {
    this.trouble = { what: "both", why };
    this.silent = true;
  }

  turnOff(input: Input): void {
    this[input]?.stop();
    this[input] = null;
    if (input === "microphone") this.silent = true;
    this.remember(input === "microphone" ? { microphoneOn: false } : { cameraOn: false });
  }

  async toggle(input: Input): Promise<void> {
    if (this[input] === null) await this.turnOn(input);
    else this.turnOff(input);
  }

  async choose(input: Input, id: string): Promise<void> {
    this.remember(input === "microphone" ? { microphoneId: id } : { cameraId: id });
    if (this[input] === null) return;
    this[input].stop();
    await this.turnOn(input);
  }

  /** Hands the tracks over to the call, which from then on stops them. */
  handOver(): { microphone: MediaStreamTrack | null; camera: MediaStreamTrack | null } {
    const tracks = { microphone: this.microphone, camera: this.camera };
    this.microphone = null;
    this.camera = null;
    this.close();
    return tracks;
  }

  /** Lets go of every device. */
  close(): void {
    this.#closed = true;
    this.#stopWatching();
    this.microphone?.stop();
    this.camera?.stop();
  }

  #take(input: Input, track: MediaStreamTrack): void {
    if (this.#closed) {
      track.stop();
      return;
    }
    this[input] = track;
    const id = track.getSettings().deviceId ?? "";
    if (input === "microphone") this.silent = false;
    this.remember(input === "microphone" ? { microphoneOn: true, microphoneId: id } : { cameraOn: true, cameraId: id });
    track.addEventListener("ended", () => {
      if (this[input] === track) this[input] = null;
    });
    void this.#list();
  }

  async #list(): Promise<void> {
    this.devices = await devicesByKind();
  }
}
