// A notice of the SDK as a sentence.
import type { Catalogue } from "../i18n/index.svelte.ts";
import type { Media, Notice } from "./sdk.ts";

export function noticeText(notice: Notice, t: Catalogue["notices"]): string {
  switch (notice.kind) {
    case "joined":
    case "ringing":
    case "back":
    case "away":
      return t[notice.kind](notice.name);
    case "left":
      return leftText(notice, t);
    case "host":
      return notice.you ? t.hostYou : t.host(notice.name);
    case "locked":
    case "unlocked":
    case "draining":
    case "restored":
    case "rejoined":
      return t[notice.kind];
    case "screen_ended":
      return t.screenEnded;
    case "device_lost":
      return notice.device === "microphone" ? t.microphoneLost : t.cameraLost;
    case "muted":
      return t.turnedOff[notice.source](notice.name);
    case "floor_given":
    case "floor_taken":
      return (notice.kind === "floor_given" ? t.floorGiven : t.floorTaken)(named(notice.media, t));
    case "moved":
      // The page knows the family, and says it in its own words.
      return "";
  }
}

function named({ audio, video, screen }: Media, t: Catalogue["notices"]): string[] {
  const { microphone, camera, screen: shared } = t.sends;
  return [audio ? microphone : "", video ? camera : "", screen ? shared : ""].filter((word) => word !== "");
}

function leftText(notice: Extract<Notice, { kind: "left" }>, t: Catalogue["notices"]): string {
  switch (notice.reason) {
    case "removed":
      return t.removed(notice.name);
    case "declined":
      return t.declined(notice.name);
    case "lost":
    case "too_slow":
      return t.lost(notice.name);
    case "moved":
      return t.elsewhere(notice.name);
    case "left":
    case "ended":
    case "replaced":
      return t.left(notice.name);
  }
}
