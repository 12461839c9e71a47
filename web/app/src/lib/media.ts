// Devices of the green room: which there are, opening one, and saying in our words why one did not open.

export type DeviceKind = "microphone" | "camera" | "speaker";
export type DeviceTrouble = "permission" | "noDevice" | "busy" | "device";

export interface DeviceChoice {
  readonly id: string;
  readonly label: string;
}

export type DeviceLists = Readonly<Record<DeviceKind, readonly DeviceChoice[]>>;

const KINDS = { microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" } as const;

/** What is there, as far as the browser says so. Before a permission it may name nothing. */
export async function listDevices(): Promise<DeviceLists> {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const of = (kind: DeviceKind): DeviceChoice[] =>
    found
      .filter((device) => device.kind === KINDS[kind] && device.deviceId !== "")
      .map((device) => ({ id: device.deviceId, label: device.label }));
  return { microphone: of("microphone"), camera: of("camera"), speaker: of("speaker") };
}

/** Calls back when something is plugged in or out. */
export function onDevicesChanged(listener: () => void): () => void {
  const devices = navigator.mediaDevices;
  devices?.addEventListener("devicechange", listener);
  return () => devices?.removeEventListener("devicechange", listener);
}

/** Has the person allowed it earlier, so that opening it asks nothing? */
export async function isAllowed(kind: "microphone" | "camera"): Promise<boolean> {
  try {
    const status = await navigator.permissions.query({ name: kind as PermissionName });
    return status.state === "granted";
  } catch {
    return false;
  }
}

export async function openMicrophone(deviceId: string): Promise<MediaStreamTrack> {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...ideally(deviceId) };
  return firstTrack(await navigator.mediaDevices.getUserMedia({ audio }));
}

export async function openCamera(deviceId: string): Promise<MediaStreamTrack> {
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...ideally(deviceId) };
  return firstTrack(await navigator.mediaDevices.getUserMedia({ video }));
}

/** Why a device did not open, from what the browser or the SDK threw. */
export function deviceTrouble(error: unknown): DeviceTrouble {
  const word = nameOf(error);
  if (["NotAllowedError", "SecurityError", "permission_denied"].includes(word)) return "permission";
  if (["NotFoundError", "OverconstrainedError", "no_device"].includes(word)) return "noDevice";
  if (["NotReadableError", "AbortError", "device_busy"].includes(word)) return "busy";
  return "device";
}

/** What this page cannot do here, if anything. */
export function pageTrouble(): "insecure" | "noWebrtc" | null {
  if (!globalThis.isSecureContext) return "insecure";
  return typeof RTCPeerConnection === "undefined" ? "noWebrtc" : null;
}

export function canChooseSpeaker(): boolean {
  return "setSinkId" in HTMLMediaElement.prototype;
}

export function canShareScreen(): boolean {
  return navigator.mediaDevices !== undefined && "getDisplayMedia" in navigator.mediaDevices;
}

function ideally(deviceId: string): { deviceId?: ConstrainDOMString } {
  return deviceId === "" ? {} : { deviceId: { ideal: deviceId } };
}

function firstTrack(stream: MediaStream): MediaStreamTrack {
  const track = stream.getTracks()[0];
  if (track === undefined) throw new DOMException("the browser gave no track", "NotFoundError");
  return track;
}

function nameOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { reason, name } = error as { reason?: unknown; name?: unknown };
  return typeof reason === "string" ? reason : typeof name === "string" ? name : "";
}
