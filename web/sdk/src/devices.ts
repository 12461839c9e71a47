// Devices before a call: which there are, whether we may use them, a preview, and a tone to hear the speaker by.
import { deviceError } from "./errors";
import { AUDIO, VIDEO, type DeviceKind } from "./media/device";

export interface DeviceInfo {
  readonly id: string;
  /** Empty until the person has allowed a device of this kind. */
  readonly label: string;
}

export interface DeviceList {
  readonly microphones: readonly DeviceInfo[];
  readonly cameras: readonly DeviceInfo[];
  /** Empty where the browser lets nobody choose. */
  readonly speakers: readonly DeviceInfo[];
}

export async function listDevices(devices: MediaDevices | undefined = navigator.mediaDevices): Promise<DeviceList> {
  const all = devices ? await devices.enumerateDevices() : [];
  const of = (kind: MediaDeviceKind): DeviceInfo[] =>
    all
      // Without permission browsers list one nameless device without identity, which cannot be chosen.
      .filter((device) => device.kind === kind && device.deviceId !== "")
      .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { microphones: of("audioinput"), cameras: of("videoinput"), speakers: of("audiooutput") };
}

/** Calls back when something is plugged in or out. Returns the function that ends it. */
export function onDevicesChanged(
  listener: () => void,
  devices: MediaDevices | undefined = navigator.mediaDevices,
): () => void {
  devices?.addEventListener("devicechange", listener);
  return () => devices?.removeEventListener("devicechange", listener);
}

export type PermissionAnswer = "granted" | "denied" | "prompt" | "unknown";

/** `unknown` where the browser does not say before one asks. */
export async function permissionFor(device: DeviceKind): Promise<PermissionAnswer> {
  try {
    const status = await navigator.permissions.query({ name: device as PermissionName });
    return status.state;
  } catch {
    return "unknown";
  }
}

/** Opens a device for a preview; the caller stops the track, or hands it to `join`. */
export async function openDevice(
  kind: DeviceKind,
  deviceId?: string,
  devices: MediaDevices | undefined = navigator.mediaDevices,
): Promise<MediaStreamTrack> {
  const which = deviceId === undefined ? {} : { deviceId: { exact: deviceId } };
  const constraints = kind === "microphone" ? { audio: { ...AUDIO, ...which } } : { video: { ...VIDEO, ...which } };
  try {
    if (!devices) throw new Error("no media devices on this page");
    const [track] = (await devices.getUserMedia(constraints)).getTracks();
    if (!track) throw new Error("a stream without a track");
    return track;
  } catch (error) {
    throw deviceError(error, kind);
  }
}

/** What a call asks of both, for an element that opens them itself; empty identities leave the choice to the browser. */
export function captureConstraints(microphoneId: string, cameraId: string): MediaStreamConstraints {
  const wish = (deviceId: string): MediaTrackConstraints => (deviceId === "" ? {} : { deviceId: { ideal: deviceId } });
  return { audio: { ...AUDIO, ...wish(microphoneId) }, video: { ...VIDEO, ...wish(cameraId) } };
}

/** Whether `setSpeaker` and the speaker of `playTestTone` do anything. */
export function canChooseSpeaker(): boolean {
  return typeof HTMLMediaElement !== "undefined" && "setSinkId" in HTMLMediaElement.prototype;
}

/** Sends what an element plays to that speaker; an empty identity is the system's choice. */
export async function setSpeaker(element: HTMLMediaElement, deviceId: string): Promise<void> {
  if (canChooseSpeaker()) await element.setSinkId(deviceId);
}

/** Two soft notes through a speaker. Resolves when they have been heard. */
export async function playTestTone(deviceId = ""): Promise<void> {
  const context = new AudioContext();
  try {
    const target = context.createMediaStreamDestination();
    const element = new Audio();
    element.srcObject = target.stream;
    await setSpeaker(element, deviceId);
    await context.resume();
    await element.play();
    await playNotes(context, target);
    element.pause();
    element.srcObject = null;
  } finally {
    await context.close();
  }
}

function playNotes(context: AudioContext, target: AudioNode): Promise<void> {
  const start = context.currentTime + 0.05;
  let last: OscillatorNode | null = null;
  for (const [i, frequency] of [523.25, 783.99].entries()) {
    const at = start + i * NOTE_S;
    const note = context.createOscillator();
    const gain = context.createGain();
    note.frequency.value = frequency;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.25, at + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.001, at + NOTE_S);
    note.connect(gain).connect(target);
    note.start(at);
    note.stop(at + NOTE_S);
    last = note;
  }
  return new Promise((resolve) => last?.addEventListener("ended", () => resolve(), { once: true }));
}

const NOTE_S = 0.45;
