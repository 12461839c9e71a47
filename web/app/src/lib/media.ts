// Devices as the pages speak of them: lists by kind, opening the one a person prefers, and why one did not open.
import { listDevices, openDevice, permissionFor, type DeviceInfo } from "./sdk.ts";

export type Input = "microphone" | "camera";
export type DeviceKind = Input | "speaker";
export type DeviceTrouble = "permission" | "noDevice" | "busy" | "device";
export type DeviceLists = Readonly<Record<DeviceKind, readonly DeviceInfo[]>>;

export const NO_DEVICES: DeviceLists = { microphone: [], camera: [], speaker: [] };

export async function devicesByKind(): Promise<DeviceLists> {
  const { microphones, cameras, speakers } = await listDevices();
  return { microphone: microphones, camera: cameras, speaker: speakers };
}

/** Has the person allowed it earlier, so that opening it asks nothing? */
export async function isAllowed(kind: Input): Promise<boolean> {
  return (await permissionFor(kind)) === "granted";
}

/** The preferred device if it is there, else any. */
export async function openPreferred(kind: Input, deviceId: string): Promise<MediaStreamTrack> {
  if (deviceId === "") return openDevice(kind);
  try {
    return await openDevice(kind, deviceId);
  } catch (error) {
    if (deviceTrouble(error) !== "noDevice") throw error;
    return openDevice(kind);
  }
}

/** Why a device did not open, from what the SDK threw. */
export function deviceTrouble(error: unknown): DeviceTrouble {
  switch (reasonOf(error)) {
    case "permission_denied":
      return "permission";
    case "no_device":
      return "noDevice";
    case "device_busy":
      return "busy";
    default:
      return "device";
  }
}

/** What this page cannot do here, if anything. */
export function pageTrouble(): "insecure" | "noWebrtc" | null {
  if (!globalThis.isSecureContext) return "insecure";
  return typeof RTCPeerConnection === "undefined" ? "noWebrtc" : null;
}

export function canShareScreen(): boolean {
  return navigator.mediaDevices !== undefined && "getDisplayMedia" in navigator.mediaDevices;
}

function reasonOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("reason" in error)) return "";
  return typeof error.reason === "string" ? error.reason : "";
}
