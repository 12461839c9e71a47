// What this browser remembers of its person: name, devices, switches. Nothing of it leaves the browser by itself.
import type { Bandwidth, CameraCodec } from "./sdk.ts";
import { readJson, writeItem } from "./storage.ts";

export interface Preferences {
  readonly name: string;
  readonly microphoneId: string;
  readonly cameraId: string;
  readonly speakerId: string;
  readonly microphoneOn: boolean;
  readonly cameraOn: boolean;
  readonly hideAddress: boolean;
  readonly sounds: boolean;
  readonly bandwidth: Bandwidth;
  /** `null`: as it seems best. */
  readonly cameraCodec: CameraCodec | null;
}

const KEY = "tandem.preferences";
const DEFAULTS: Preferences = {
  name: "",
  microphoneId: "",
  cameraId: "",
  speakerId: "",
  microphoneOn: true,
  cameraOn: true,
  hideAddress: false,
  sounds: true,
  bandwidth: "full",
  cameraCodec: null,
};

export function readPreferences(): Preferences {
  return parsePreferences(readJson(KEY));
}

export function rememberPreferences(changes: Partial<Preferences>): void {
  writeItem(KEY, JSON.stringify({ ...readPreferences(), ...changes }));
}

/** Takes each field only if it is of the right kind. */
export function parsePreferences(value: unknown): Preferences {
  if (typeof value !== "object" || value === null) return DEFAULTS;
  const found = value as Record<string, unknown>;
  const text = (key: keyof Preferences, fallback: string): string => {
    const field = found[key];
    return typeof field === "string" && field.length <= 512 ? field : fallback;
  };
  const flag = (key: keyof Preferences, fallback: boolean): boolean => {
    const field = found[key];
    return typeof field === "boolean" ? field : fallback;
  };
  return {
    name: text("name", DEFAULTS.name),
    microphoneId: text("microphoneId", DEFAULTS.microphoneId),
    cameraId: text("cameraId", DEFAULTS.cameraId),
    speakerId: text("speakerId", DEFAULTS.speakerId),
    microphoneOn: flag("microphoneOn", DEFAULTS.microphoneOn),
    cameraOn: flag("cameraOn", DEFAULTS.cameraOn),
    hideAddress: flag("hideAddress", DEFAULTS.hideAddress),
    sounds: flag("sounds", DEFAULTS.sounds),
    bandwidth: BANDWIDTHS.find((each) => each === found["bandwidth"]) ?? DEFAULTS.bandwidth,
    cameraCodec: CODECS.find((each) => each === found["cameraCodec"]) ?? DEFAULTS.cameraCodec,
  };
}

export const BANDWIDTHS: readonly Bandwidth[] = ["full", "low", "audio"];

const CODECS: readonly CameraCodec[] = ["vp8", "vp9", "av1"];
