// What somebody may do, as the roster says. Pure.
import type { Media, Participant, Permissions, Room } from "./generated";
import { find, type Roster } from "./roster";

export const ALL: Media = { audio: true, video: true, screen: true };
const NONE: Media = { audio: false, video: false, screen: false };
const USUAL: Permissions = { publish: ALL, subscribe: true, data: true, admin: false };

/** Without a word of the server: everything but what is the host's. */
export function mayOf(participant: Pick<Participant, "may"> | null): Permissions {
  return participant?.may ?? USUAL;
}

/** Whether somebody has the host's powers: by the server's word, or as the host of a room that is none of another's, unless a
 *  third party's token made it come. */
export function decides(participant: Participant | null, room: Pick<Room, "host" | "parent"> | null): boolean {
  if (!participant || !room) return false;
  const byLink = participant.identity === undefined && room.parent === undefined;
  return mayOf(participant).admin || (participant.id === room.host && byLink);
}

/** What is on of `media` and not of `bound`. */
export function beyond(media: Media, bound: Media): Media {
  return {
    audio: media.audio && !bound.audio,
    video: media.video && !bound.video,
    screen: media.screen && !bound.screen,
  };
}

export function sameMedia(a: Media, b: Media): boolean {
  return a.audio === b.audio && a.video === b.video && a.screen === b.screen;
}

export function isAny({ audio, video, screen }: Media): boolean {
  return audio || video || screen;
}

/** What of the right to send we have been given, and what we have lost, from one roster of a room to the next. */
export function floorBetween(before: Roster | null, after: Roster): { given: Media; taken: Media } {
  const same = before?.you === after.you && before.room.name === after.room.name;
  if (!same) return { given: NONE, taken: NONE };
  const was = mayOf(find(before, before.you)).publish;
  const is = mayOf(find(after, after.you)).publish;
  return { given: beyond(is, was), taken: beyond(was, is) };
}
