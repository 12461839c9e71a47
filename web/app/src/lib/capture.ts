// The browser's own button for camera and microphone, `<usermedia>` (Chrome 151): whoever has refused once is led back
// from there, which no script can do. Where it is unknown, the element shows what stands inside it: our button.
import type { DeviceTrouble } from "./media.ts";

export interface Captured {
  readonly microphone: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
}

interface CaptureElement extends HTMLElement {
  readonly stream: MediaStream | null;
  readonly error: unknown;
  setConstraints(constraints: MediaStreamConstraints): void;
}

export interface CaptureOutput {
  captured(tracks: Captured): void;
  failed(why: DeviceTrouble): void;
  /** The browser has disregarded a press: ask in the ordinary way. */
  ignored(): void;
}

/** Listens to the element, if it is a real one. Returns the function that ends it. */
export function watchCapture(
  element: HTMLElement,
  constraints: MediaStreamConstraints,
  output: CaptureOutput,
): () => void {
  if (!isCapture(element)) return () => undefined;
  element.setConstraints(constraints);
  const onStream = (): void => {
    const { stream } = element;
    if (stream === null) return;
    output.captured({
      microphone: stream.getAudioTracks()[0] ?? null,
      camera: stream.getVideoTracks()[0] ?? null,
    });
  };
  const onError = (): void => {
    const name = nameOf(element.error);
    // The browser disregards presses within the element's first half second on the page, or when it has just moved.
    if (name === "InvalidStateError") output.ignored();
    else output.failed(troubleOf(name));
  };
  element.addEventListener("stream", onStream);
  element.addEventListener("error", onError);
  return () => {
    element.removeEventListener("stream", onStream);
    element.removeEventListener("error", onError);
  };
}

function isCapture(element: HTMLElement): element is CaptureElement {
  return "setConstraints" in element && typeof element.setConstraints === "function";
}

function nameOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "name" in error ? error.name : "";
}

/** By the names of `getUserMedia`'s errors. */
function troubleOf(name: unknown): DeviceTrouble {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "permission";
    case "NotFoundError":
    case "OverconstrainedError":
      return "noDevice";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "device";
  }
}
