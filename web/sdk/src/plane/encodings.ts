// In which sizes or layers a camera goes up, in which codec, and which codecs a slot takes.
import type { CameraCodec } from "../types";

/** What the types of TypeScript's library lack. */
export interface Encoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
  codec?: RTCRtpCodec;
}

/** The m-line of a camera has three streams, the smallest picture first. */
const RIDS = ["q", "h", "f"] as const;

/** One of the sizes a camera goes up in: how much smaller than it comes, and bits per second at most. */
export interface Size {
  readonly scale: number;
  readonly bits: number;
}

/** Of a small camera there is no use in three sizes, and libwebrtc would encode the smallest of them only. */
export function sizesOf(lines: number): readonly Size[] {
  if (lines >= 540)
    return [
      { scale: 4, bits: 150_000 },
      { scale: 2, bits: 500_000 },
      { scale: 1, bits: 1_700_000 },
    ];
  if (lines >= 270)
    return [
      { scale: 2, bits: 150_000 },
      { scale: 1, bits: 700_000 },
    ];
  return [{ scale: 1, bits: 300_000 }];
}

export function cameraEncodings(): RTCRtpEncodingParameters[] {
  const sizes = sizesOf(Infinity);
  return RIDS.map((rid, i) => ({ rid, scaleResolutionDownBy: sizes[i]?.scale ?? 1, maxBitrate: sizes[i]?.bits ?? 0 }));
}

/** Chromium offers to tell of layers (dependency descriptors) only where there are some from the beginning. */
export function layeredEncodings(): Encoding[] {
  return [{ scalabilityMode: modeOf(3) }];
}

/** Lines of a camera, however it is held. */
export function linesOf(track: MediaStreamTrack | null): number {
  const { width = Infinity, height = Infinity } = track?.getSettings() ?? {};
  return Math.min(width, height);
}

/** Sends a camera in the sizes that suit it; the largest are left out when nobody shows them. */
export async function setSizes(sender: RTCRtpSender, watched: number): Promise<void> {
  const sizes = sizesOf(linesOf(sender.track));
  const parameters = sender.getParameters();
  let changed = false;
  for (const [i, encoding] of parameters.encodings.entries()) {
    const size = sizes[i];
    // The smallest stays, so that whoever begins to watch sees something at once.
    const active = size !== undefined && i < Math.max(1, watched);
    const { scale, bits } = size ?? { scale: encoding.scaleResolutionDownBy, bits: encoding.maxBitrate };
    changed ||= encoding.active !== active || encoding.scaleResolutionDownBy !== scale || encoding.maxBitrate !== bits;
    encoding.active = active;
    if (scale !== undefined) encoding.scaleResolutionDownBy = scale;
    if (bits !== undefined) encoding.maxBitrate = bits;
  }
  if (changed) await sender.setParameters(parameters);
}

/** Sends a camera as one stream: of as many layers as there would be sizes, the largest left out when nobody shows them. */
export async function setLayers(sender: RTCRtpSender, watched: number): Promise<void> {
  const sizes = sizesOf(linesOf(sender.track)).slice(0, Math.max(1, watched));
  const parameters = sender.getParameters();
  const encoding: Encoding | undefined = parameters.encodings[0];
  const largest = sizes.at(-1);
  if (!encoding || !largest) return;
  const next = {
    active: watched > 0,
    scaleResolutionDownBy: largest.scale,
    maxBitrate: largest.bits,
    scalabilityMode: modeOf(sizes.length),
  };
  const same = Object.entries(next).every(([key, value]) => encoding[key as keyof typeof next] === value);
  Object.assign(encoding, next);
  if (!same) await sender.setParameters(parameters);
}

/** Layers of which the upper ones need those below at key frames only: whoever gets a small picture needs none of them. */
function modeOf(sizes: number): string {
  return sizes > 1 ? `L${sizes}T3_KEY` : "L1T3";
}

/** Whether it has been agreed to send that codec, and in the layers that suit the camera. */
export function isLayered(sender: RTCRtpSender, codec: CameraCodec): boolean {
  const { codecs, encodings } = sender.getParameters();
  const encoding: Encoding | undefined = encodings[0];
  const mode = encoding?.scalabilityMode ?? "";
  return codecs?.[0]?.mimeType.toLowerCase() === `video/${codec}` && /^L(1T3|[23]T3_KEY)$/.test(mode);
}

/** Tells whether the browser has that codec: then it is the only one that is offered. */
export function preferCodec(transceiver: RTCRtpTransceiver, codec: CameraCodec): boolean {
  const able = typeof RTCRtpSender === "undefined" ? null : RTCRtpSender.getCapabilities("video");
  const isIt = ({ mimeType, sdpFmtpLine = "" }: RTCRtpCodec): boolean =>
    mimeType.toLowerCase() === `video/${codec}` && !/profile(-id)?=[1-9]/.test(sdpFmtpLine);
  const its = able?.codecs.filter(isIt) ?? [];
  const repairs = able?.codecs.filter(({ mimeType }) => mimeType.toLowerCase() === "video/rtx") ?? [];
  if (its.length === 0) return false;
  transceiver.setCodecPreferences([...its, ...repairs]);
  return true;
}

/** The codecs in which this browser can send the camera, VP8 in any case. */
export async function cameraCodecs(): Promise<readonly CameraCodec[]> {
  const layered: CameraCodec[] = ["vp9", "av1"];
  const able = await Promise.all(["vp8" as const, ...layered].map(encodesLayers));
  // Of VP8 there are no spatial layers: a browser that says so has not understood the question.
  return ["vp8", ...layered.filter((_, i) => !able[0] && able[i + 1])];
}

async function encodesLayers(codec: CameraCodec): Promise<boolean> {
  const video = { width: 1_280, height: 720, bitrate: 1_700_000, framerate: 30 };
  const how = { contentType: `video/${codec}`, scalabilityMode: modeOf(3) };
  try {
    const info = await navigator.mediaCapabilities.encodingInfo({ type: "webrtc", video: { ...video, ...how } });
    return info.supported;
  } catch {
    return false;
  }
}

/** With all that a browser can decode, each slot would take kilobytes of the offer. */
export function preferFew(transceiver: RTCRtpTransceiver): void {
  const able = typeof RTCRtpReceiver === "undefined" ? null : RTCRtpReceiver.getCapabilities("video");
  const few = able?.codecs.filter(({ mimeType, sdpFmtpLine }) => {
    const line = sdpFmtpLine ?? "";
    switch (mimeType.toLowerCase()) {
      case "video/vp8":
      case "video/rtx":
      case "video/av1":
        return true;
      case "video/vp9":
        return line === "" || line.includes("profile-id=0");
      case "video/h264":
        return line.includes("packetization-mode=1") && line.includes("profile-level-id=42e01f");
      default:
        return false;
    }
  });
  if (few && few.length > 0) transceiver.setCodecPreferences?.(few);
}
