// In which sizes a camera goes up, and which codecs a slot takes.

/** Three sizes, the smallest first. */
const CAMERA: readonly RTCRtpEncodingParameters[] = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

export function cameraEncodings(): RTCRtpEncodingParameters[] {
  return CAMERA.map((each) => ({ ...each }));
}

/** The largest sizes are left out when nobody shows them. */
export async function setLayers(sender: RTCRtpSender, layers: number): Promise<void> {
  const parameters = sender.getParameters();
  let changed = false;
  for (const [i, encoding] of parameters.encodings.entries()) {
    // The smallest stays, so that whoever begins to watch sees something at once.
    const active = i < Math.max(1, layers);
    changed ||= encoding.active !== active;
    encoding.active = active;
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
