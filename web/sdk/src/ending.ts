// Why a call ended, as the error of a `join` that was still waiting.
import type { ErrorReason } from "./errors";
import type { EndReason } from "./types";

export function errorReason(reason: EndReason): ErrorReason {
  switch (reason) {
    case "left":
    case "moved":
      return "aborted";
    case "lost":
      return "resume_expired";
    case "removed":
    case "declined":
    case "ended":
      return "forbidden";
    case "too_slow":
      return "too_many";
    case "replaced":
      return "already_joined";
    default:
      return reason;
  }
}
