// The own devices during a call: one act at a time for each, and what failed goes to one place.
import type { CallView } from "../../lib/call-view.svelte.ts";
import { devicesByKind, NO_DEVICES, type DeviceLists } from "../../lib/media.ts";
import { onDevicesChanged } from "../../lib/sdk.ts";
import { readPreferences, rememberPreferences } from "../../lib/preferences.ts";

type Fail = (error: unknown, what: "microphone" | "camera") => void;

export class Controls {
  busy = $state({ microphone: false, camera: false });
  devices = $state.raw<DeviceLists>(NO_DEVICES);
  readonly #view: CallView;
  readonly #fail: Fail;

  constructor(view: CallView, fail: Fail) {
    this.#view = view;
    this.#fail = fail;
    void this.#list();
    $effect(() => onDevicesChanged(() => void this.#list()));
  }

  /** A phone has a camera on either side. */
  get canFlip(): boolean {
    return this.devices.camera.length > 1 && matchMedia("(pointer: coarse)").matches;
  }

  toggleMicrophone(): Promise<boolean> {
    const on = this.#view.call.local.microphone === null;
    rememberPreferences({ microphoneOn: on });
    return this.#setMicrophone(on, this.#known("microphone", readPreferences().microphoneId));
  }

  toggleCamera(): Promise<boolean> {
    const on = this.#view.call.local.camera === null;
    rememberPreferences({ cameraOn: on });
    return this.#setCamera(on, this.#known("camera", readPreferences().cameraId));
  }

  async chooseMicrophone(id: string): Promise<void> {
    rememberPreferences({ microphoneId: id });
    if (this.#view.call.local.microphone !== null) await this.#setMicrophone(true, id);
  }

  async chooseCamera(id: string): Promise<void> {
    rememberPreferences({ cameraId: id });
    if (this.#view.call.local.camera !== null) await this.#setCamera(true, id);
  }

  /** The next camera in the list. */
  async flip(): Promise<void> {
    const cameras = this.devices.camera;
    const current = this.#view.call.local.camera?.getSettings().deviceId;
    const next = cameras[(cameras.findIndex(({ id }) => id === current) + 1) % cameras.length];
    if (next !== undefined) await this.chooseCamera(next.id);
  }

  /** A device that is not there any more must not keep another from being opened. */
  #known(kind: "microphone" | "camera", id: string): string {
    return this.devices[kind].some((device) => device.id === id) ? id : "";
  }

  #setMicrophone(on: boolean, id: string): Promise<boolean> {
    return this.#alone("microphone", () => this.#view.call.setMicrophone(on, id === "" ? undefined : id));
  }

  #setCamera(on: boolean, id: string): Promise<boolean> {
    return this.#alone("camera", () => this.#view.call.setCamera(on, id === "" ? undefined : id));
  }

  /** Resolves to whether it was done. */
  async #alone(what: "microphone" | "camera", act: () => Promise<void>): Promise<boolean> {
    if (this.busy[what]) return false;
    this.busy[what] = true;
    try {
      await act();
      return true;
    } catch (error) {
      this.#fail(error, what);
      return false;
    } finally {
      this.busy[what] = false;
      void this.#list();
    }
  }

  async #list(): Promise<void> {
    this.devices = await devicesByKind();
  }
}
