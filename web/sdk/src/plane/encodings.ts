// In which sizes a camera goes up, and which codecs a slot takes.

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
