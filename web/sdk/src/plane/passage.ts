// From browser to browser, or through the server: what is shown of each participant comes by the one way until it has begun to
// come by the other, and the way that is not needed any more goes away a little later. Nobody is to see the change.
import type { Timers } from "../deps";
import type { Mesh } from "../peer/mesh";
import type { RemotePeer } from "../peer/peer";
import type { Forwarded, Plane } from "./plane";

export class Passage {
  #timers: Timers;
  #mesh: Mesh;
  #plane: Plane;
  /** Since when everybody has come by the way that is wanted. */
  #since: number | null = null;
  /** What was shown of somebody last: the same thing is not shown anew. */
  #shown = new Map<string, { text: string; forwarded: Forwarded }>();

  constructor(timers: Timers, mesh: Mesh, plane: Plane) {
    this.#timers = timers;
    this.#mesh = mesh;
    this.#plane = plane;
  }

  /** After anything that may have changed, and now and then. */
  look(): void {
    if (!this.#plane.isOpen) {
      for (const peer of this.#mesh.all) peer.setForwarded(null);
      this.#since = null;
      return;
    }
    const isWanted = this.#mesh.isForwarded;
    let settled = true;
    for (const peer of this.#mesh.all) {
      const forwarded = this.#plane.of(peer.info.id);
      const byServer = isWanted ? this.#hasArrived(peer, forwarded) : !isDirect(peer);
      peer.setForwarded(byServer && forwarded ? this.#same(peer.info.id, forwarded) : null);
      // Others than browsers come by no other way.
      if (!isWanted && peer.info.client !== "web") continue;
      settled &&= byServer === isWanted && (!isWanted || forwarded?.flows === true);
    }
    this.#settle(settled, isWanted);
  }

  /** Once what somebody sends has come through the server, it stays so; before, only if there is no other way. */
  #hasArrived(peer: RemotePeer, forwarded: Forwarded | null): boolean {
    return forwarded?.flows === true || !isDirect(peer);
  }

  #settle(settled: boolean, isWanted: boolean): void {
    const now = this.#timers.now();
    this.#since = settled ? (this.#since ?? now) : null;
    if (this.#since === null || now - this.#since < LINGER_MS) return;
    if (isWanted) this.#mesh.release();
    else this.#plane.close();
  }

  #same(id: string, forwarded: Forwarded): Forwarded {
    const { connection, camera, screen, quality, level, paused, missing, flows, readable } = forwarded;
    const known = this.#shown.get(id);
    const same =
      known?.forwarded.camera === camera && known.forwarded.screen === screen && known.forwarded.quality === quality;
    const text = JSON.stringify([connection, level, paused, missing, flows, readable]);
    if (known && same && known.text === text) return known.forwarded;
    this.#shown.set(id, { text, forwarded });
    return forwarded;
  }
}

function isDirect({ connection }: RemotePeer): boolean {
  return connection?.state === "connected" || connection?.state === "trouble";
}

const LINGER_MS = 2_000;
