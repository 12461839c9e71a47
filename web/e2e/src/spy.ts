// Runs in the page before any of its own scripts: remembers every peer connection, candidate, track and policy violation.
// It watches and never changes what the page does, except where a test asks it to stand in for a network (`Handicap`).

/** What a network, or a machine, may lack. */
export interface Handicap {
  /** Only ICE servers of this kind get through. */
  readonly turnOver?: "udp" | "tcp" | "tls";
  /** No candidates but those of relays: a network that lets nothing else out. */
  readonly onlyRelay?: boolean;
  /** WebSockets never open, as behind some proxies. */
  readonly noWebSocket?: boolean;
  /** The page was changed: this candidate goes out in place of the first real one, and in every description. */
  readonly tampered?: string;
  /** A browser from before `RTCRtpScriptTransform`. */
  readonly noScriptTransform?: boolean;
  /** A camera of this size instead of a small one. */
  readonly camera?: { readonly width: number; readonly height: number };
  /** No camera, no microphone. */
  readonly noDevices?: boolean;
}

export interface Spy {
  readonly connections: RTCPeerConnection[];
  /** `candidate` attributes this page gathered. */
  readonly gathered: string[];
  /** `candidate` attributes this page was given, trickled or in a description. */
  readonly received: string[];
  /** From cameras and microphones. */
  readonly tracks: MediaStreamTrack[];
  readonly screens: MediaStreamTrack[];
  readonly violations: string[];
  readonly sockets: WebSocket[];
  /** Closes the way to the server and keeps it closed until told otherwise. */
  cut(off: boolean): void;
}

declare global {
  interface Window {
    spy: Spy;
  }
}

/** Serialised into the page: it may use nothing from outside itself. */
export function install(handicap: Handicap): void {
  let off = false;
  const spy: Spy = {
    connections: [],
    gathered: [],
    received: [],
    tracks: [],
    screens: [],
    violations: [],
    sockets: [],
    cut(next) {
      off = next;
      if (off) for (const socket of spy.sockets) socket.close();
    },
  };
  window.spy = spy;
  document.addEventListener("securitypolicyviolation", (event) => {
    spy.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`.trim());
  });

  const candidatesOf = (sdp: string | undefined): string[] =>
    (sdp ?? "").split("\r\n").flatMap((line) => (line.startsWith("a=candidate:") ? [line.slice(2)] : []));

  const reaches = (url: string): boolean => {
    if (!handicap.turnOver) return true;
    const over = url.startsWith("turns:") ? "tls" : url.includes("transport=tcp") ? "tcp" : "udp";
    return url.startsWith("turn") && over === handicap.turnOver;
  };
  const limited = (configuration: RTCConfiguration | undefined): RTCConfiguration | undefined =>
    configuration?.iceServers && {
      ...configuration,
      ...(handicap.onlyRelay === true && { iceTransportPolicy: "relay" as const }),
      iceServers: configuration.iceServers
        .map((server) => ({ ...server, urls: [server.urls].flat().filter(reaches) }))
        .filter((server) => server.urls.length > 0),
    };

  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(limited(configuration) ?? configuration);
      spy.connections.push(this);
      this.addEventListener("icecandidate", (event) => {
        if (event.candidate?.candidate) spy.gathered.push(event.candidate.candidate);
      });
    }
    override setConfiguration(configuration?: RTCConfiguration): void {
      super.setConfiguration(limited(configuration) ?? configuration);
    }
    override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      spy.received.push(...candidatesOf(description.sdp));
      return super.setRemoteDescription(description);
    }
    override addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
      if (candidate?.candidate) spy.received.push(candidate.candidate);
      return super.addIceCandidate(candidate ?? undefined);
    }
  };

  if (handicap.noScriptTransform) Reflect.deleteProperty(window, "RTCRtpScriptTransform");

  // Blank pages are no secure context and have none.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) return;
  // A small picture, since several browsers share the cores of one machine.
  const small = handicap.camera ?? { width: 320, height: 180 };
  for (const name of ["getUserMedia", "getDisplayMedia"] as const) {
    const ask = devices[name].bind(devices);
    devices[name] = async (constraints?: MediaStreamConstraints): Promise<MediaStream> => {
      if (handicap.noDevices && name === "getUserMedia")
        throw new DOMException("Requested device not found", "NotFoundError");
      const stream = await ask(
        constraints?.video && name === "getUserMedia" ? { ...constraints, video: small } : constraints,
      );
      spy[name === "getUserMedia" ? "tracks" : "screens"].push(...stream.getTracks());
      return stream;
    };
  }
  if (handicap.noDevices) devices.enumerateDevices = async () => [];

  const changed = (text: string): string => {
    if (handicap.tampered === undefined) return text;
    const frame = JSON.parse(text) as { sdp?: string; candidate?: { candidate: string } };
    if (frame.sdp !== undefined) frame.sdp += `a=${handicap.tampered}\r\n`;
    if (frame.candidate?.candidate && !tampered) {
      tampered = true;
      frame.candidate.candidate = handicap.tampered;
    }
    return JSON.stringify(frame);
  };
  let tampered = false;

  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(url: string | URL, protocols?: string | string[]) {
      // A path that answers no upgrade, as if something on the way had refused it.
      super(handicap.noWebSocket || off ? `wss://${location.host}/no-websocket-here` : url, protocols);
      spy.sockets.push(this);
    }
    override send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
      super.send(typeof data === "string" ? changed(data) : (data as ArrayBuffer));
    }
  };
}
