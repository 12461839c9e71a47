// What the SDK throws, and how it throws promises away without losing an unhandled rejection.
import type { Reason } from "./generated";

/** The server's reasons, and those only a browser can have. */
export type ErrorReason =
  Reason | "unreachable" | "aborted" | "permission_denied" | "no_device" | "device_busy" | "unsupported" | "misuse";

/** `reason` is a literal to switch on, `message` a sentence for a person. */
export class CallError extends Error {
  readonly reason: ErrorReason;

  constructor(reason: ErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CallError";
    this.reason = reason;
  }
}

/** For a promise whose failure is of no consequence to anybody (the outcome shows elsewhere). */
export function quiet(promise: Promise<unknown>): void {
  promise.catch(() => undefined);
}

/** What `getUserMedia` and `getDisplayMedia` throw, in our words. */
export function deviceError(error: unknown, device: "microphone" | "camera" | "screen"): CallError {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return new CallError("permission_denied", `The browser was not allowed to use the ${device}.`, { cause: error });
    case "NotFoundError":
    case "OverconstrainedError":
      return new CallError("no_device", `No such ${device} was found.`, { cause: error });
    case "NotReadableError":
    case "AbortError":
      return new CallError("device_busy", `The ${device} could not be started; another program may be using it.`, {
        cause: error,
      });
    default:
      return new CallError("unsupported", `The ${device} cannot be used here.`, { cause: error });
  }
}
