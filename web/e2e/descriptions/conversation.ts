// Runs in the browser's page: pairs of peer connections that offer and answer, and every description they made. The
// tracks are drawn and synthesised, not captured, so that Firefox hides addresses behind mDNS names. Chromium is launched
// as for the tests and does not.

export type Descriptions = Record<string, string>;

export async function record(): Promise<Descriptions> {
  const found: Descriptions = {};

  const canvas = document.createElement("canvas");
  const painter = canvas.getContext("2d");
  setInterval(() => painter?.fillRect(0, 0, Math.random() * 300, 150), 100);
  const video = (): MediaStreamTrack => {
    const [track] = canvas.captureStream(10).getVideoTracks();
    if (track === undefined) throw new Error("the canvas gives no track");
    return track;
  };
  const audio = (): MediaStreamTrack => {
    const [track] = new AudioContext().createMediaStreamDestination().stream.getAudioTracks();
    if (track === undefined) throw new Error("the destination gives no track");
    return track;
  };
  const layers: RTCRtpEncodingParameters[] = [
    { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
    { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
    { rid: "f", maxBitrate: 1_500_000 },
  ];

  const gathered = async (pc: RTCPeerConnection): Promise<void> => {
    while (pc.iceGatheringState !== "complete") await new Promise((next) => setTimeout(next, 50));
  };

  /** One offer and its answer with all candidates, kept under `name`-offer and -answer. */
  const exchange = async (
    name: string,
    caller: RTCPeerConnection,
    callee: RTCPeerConnection,
    options?: RTCOfferOptions,
  ): Promise<void> => {
    await caller.setLocalDescription(await caller.createOffer(options));
    await gathered(caller);
    const offer = caller.localDescription;
    if (offer === null) throw new Error("no offer");
    found[`${name}-offer`] = offer.sdp;
    await callee.setRemoteDescription(offer);
    await callee.setLocalDescription();
    await gathered(callee);
    const answer = callee.localDescription;
    if (answer === null) throw new Error("no answer");
    found[`${name}-answer`] = answer.sdp;
    await caller.setRemoteDescription(answer);
  };
  const pair = (configuration?: RTCConfiguration): [RTCPeerConnection, RTCPeerConnection] => [
    new RTCPeerConnection(configuration),
    new RTCPeerConnection(configuration),
  ];

  {
    // A call: both send; then the video stops, then another takes its place, then everything begins again.
    const [caller, callee] = pair();
    const stream = new MediaStream([audio(), video()]);
    for (const track of stream.getTracks()) caller.addTrack(track, stream);
    callee.addTrack(audio(), new MediaStream());
    callee.addTrack(video(), new MediaStream());
    found["call-trickled-offer"] = (await caller.createOffer()).sdp ?? "";
    await exchange("call", caller, callee);
    caller.getTransceivers()[1]?.stop();
    await exchange("call-video-stopped", caller, callee);
    caller.addTransceiver(video(), { direction: "sendonly" });
    caller.addTransceiver("audio", { direction: "recvonly" });
    await exchange("call-recycled", caller, callee);
    await exchange("call-ice-restart", caller, callee, { iceRestart: true });
  }
  {
    const [caller, callee] = pair();
    caller.addTransceiver(audio(), { direction: "sendonly" });
    caller.addTransceiver(video(), { direction: "sendonly", sendEncodings: layers });
    await exchange("simulcast", caller, callee);
  }
  {
    const [caller, callee] = pair();
    caller.createDataChannel("chat");
    await exchange("data", caller, callee);
  }
  {
    const [caller, callee] = pair({ bundlePolicy: "max-bundle" });
    caller.addTrack(audio());
    caller.addTransceiver("video", { direction: "recvonly" });
    caller.createDataChannel("chat");
    await exchange("max-bundle", caller, callee);
    const [careful, careless] = pair({ bundlePolicy: "max-compat" });
    for (const track of [audio(), video()]) careful.addTrack(track);
    await exchange("max-compat", careful, careless);
  }
  {
    // Redundant audio first, scalable VP9 and AV1.
    const [caller, callee] = pair();
    const speaker = caller.addTransceiver(audio(), { direction: "sendonly" });
    const redundant = RTCRtpSender.getCapabilities("audio")?.codecs ?? [];
    const rank = (mime: string): number => ["audio/red", "audio/opus"].indexOf(mime.toLowerCase()) >>> 0;
    speaker.setCodecPreferences(redundant.sort((a, b) => rank(a.mimeType) - rank(b.mimeType)));
    const scalable = { scalabilityMode: "L3T3_KEY" } as RTCRtpEncodingParameters;
    const camera = caller.addTransceiver(video(), { direction: "sendonly" });
    const codecs = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
    const wanted = codecs.filter((codec) => /vp9|av1|rtx/i.test(codec.mimeType));
    camera.setCodecPreferences(wanted);
    const parameters = camera.sender.getParameters();
    for (const encoding of parameters.encodings) Object.assign(encoding, scalable);
    await camera.sender.setParameters(parameters).catch(() => undefined);
    await exchange("redundant-scalable", caller, callee);
  }
  return found;
}
