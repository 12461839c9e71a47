// What the stage shows, worked out from the call: one tile for each person and each shared screen.
import type { Catalogue } from "../../i18n/index.svelte.ts";
import { keyMissing } from "../../lib/encryption.ts";
import type { Bandwidth, Local, Participant, Peer } from "../../lib/sdk.ts";

type Status = "away" | "connecting" | "trouble" | "failed" | "classic" | "paused" | "missing" | "keyMine" | "keyTheirs";

export interface TileView {
  readonly key: string;
  readonly participant: string;
  readonly kind: "camera" | "screen";
  readonly mine: boolean;
  readonly name: string;
  readonly label: string;
  readonly stream: MediaStream | null;
  readonly mirrored: boolean;
  readonly muted: boolean;
  readonly speaking: boolean;
  readonly presenting: boolean;
  readonly hidden: boolean;
  readonly quality: "unknown" | "good" | "fair" | "poor" | null;
  readonly status: Status | null;
}

export interface Own {
  readonly me: Participant;
  readonly local: Local;
  readonly camera: MediaStream | null;
  /** A camera that faces away from the person is not mirrored. */
  readonly facesAway: boolean;
}

export function tilesOf(
  peers: readonly Peer[],
  own: Own | null,
  bandwidth: Bandwidth,
  t: Catalogue["call"],
): TileView[] {
  const tiles = peers.flatMap((peer) =>
    peerTiles(peer, bandwidth !== "audio", keyMissing(peer, peers, own?.me ?? null), t),
  );
  return own === null ? tiles : [...tiles, ...ownTiles(own, t)];
}

function peerTiles(
  peer: Peer,
  withCamera: boolean,
  missing: "mine" | "theirs" | null,
  t: Catalogue["call"],
): TileView[] {
  const { id, name, media, hide_address } = peer.info;
  const base = { participant: id, mine: false, name, mirrored: false };
  const tiles: TileView[] = [
    {
      ...base,
      key: `${id}/camera`,
      kind: "camera",
      label: t.tile(name),
      stream: media.video && withCamera && missing === null && !peer.missing ? peer.camera : null,
      muted: !media.audio,
      speaking: peer.speaking && media.audio,
      presenting: media.screen,
      hidden: hide_address,
      quality: peer.connection === "connected" || peer.connection === "trouble" ? peer.quality.level : null,
      status: missing === null ? statusOf(peer) : missing === "mine" ? "keyMine" : "keyTheirs",
    },
  ];
  if (media.screen && peer.screen !== null && missing === null)
    tiles.push(screenTile(base, t.screenOf(name), peer.screen));
  return tiles;
}

function ownTiles({ me, local, camera, facesAway }: Own, t: Catalogue["call"]): TileView[] {
  const base = { participant: me.id, mine: true, name: me.name, mirrored: false };
  const tiles: TileView[] = [
    {
      ...base,
      key: `${me.id}/camera`,
      kind: "camera",
      label: t.tileYou,
      stream: camera,
      mirrored: !facesAway,
      muted: local.microphone === null,
      speaking: local.speaking,
      presenting: local.screen !== null,
      hidden: me.hide_address,
      quality: null,
      status: null,
    },
  ];
  if (local.screen !== null) tiles.push(screenTile(base, t.screenYou, local.screen));
  return tiles;
}

function screenTile(
  base: Pick<TileView, "participant" | "mine" | "name" | "mirrored">,
  label: string,
  stream: MediaStream,
): TileView {
  return {
    ...base,
    key: `${base.participant}/screen`,
    kind: "screen",
    label,
    stream,
    muted: false,
    speaking: false,
    presenting: false,
    hidden: false,
    quality: null,
    status: null,
  };
}

function statusOf(peer: Peer): TileView["status"] {
  if (peer.info.client === "classic") return "classic";
  if (peer.info.state === "away") return "away";
  switch (peer.connection) {
    case "connecting":
      return "connecting";
    case "trouble":
      return "trouble";
    case "failed":
      return "failed";
    case "none":
      return null;
    case "connected":
      if (!peer.info.media.video) return null;
      return peer.paused ? "paused" : peer.missing ? "missing" : null;
  }
}

/** Which tile is large in the speaker layout: what was pinned, else a screen, else whoever speaks or spoke last. */
export function focusOf(
  tiles: readonly TileView[],
  pinned: string | null,
  lastSpeaker: string | null,
): TileView | null {
  return (
    tiles.find(({ key }) => key === pinned) ??
    tiles.find(({ kind, mine }) => kind === "screen" && !mine) ??
    tiles.find(({ kind, participant }) => kind === "camera" && participant === lastSpeaker) ??
    tiles.find(({ kind, mine }) => kind === "camera" && !mine) ??
    tiles[0] ??
    null
  );
}
