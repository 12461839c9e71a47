// The camera on its way to the server: in several sizes (simulcast, VP8), or as one stream of layers (SVC, VP9 and AV1).
//
// An m-line is made for the one or for the other: another codec takes another one, and an offer. The server calls what comes by
// it another track, and who watches goes over to that. What a connection does not take is not tried again on it.
import { quiet } from "../errors";
import type { CameraCodec } from "../types";
import { cameraEncodings, isLayered, layeredEncodings, preferCodec, setLayers, setSizes } from "./encodings";

type Add = (encodings: RTCRtpEncodingParameters[]) => RTCRtpTransceiver;
type Layered = Exclude<CameraCodec, "vp8">;

export class Camera {
  #add: Add;
  #transceiver: RTCRtpTransceiver;
  /** `null`: in sizes. */
  #codec: Layered | null = null;
  #refused = new Set<Layered>();
  #track: MediaStreamTrack | null = null;
  #watched = Infinity;
  #saves = false;
  /** Parameters are set one after another, or a browser refuses. */
  #last: Promise<void> = Promise.resolve();

  constructor(add: Add, codec: CameraCodec | null) {
    this.#add = add;
    this.#codec = this.#possible(codec);
    this.#transceiver = this.#begin();
  }

  /** Its m-line, if it has been offered. */
  get mid(): string | null {
    return this.#transceiver.mid;
  }

  /** Tells whether it goes by another m-line from here on: that takes an offer. */
  choose(codec: CameraCodec | null): boolean {
    const possible = this.#possible(codec);
    if (possible === this.#codec) return false;
    this.#codec = possible;
    this.#replace();
    return true;
  }

  setTrack(track: MediaStreamTrack | null): void {
    if (track === this.#track) return;
    this.#track = track;
    this.#put();
  }

  /** So many of its streams are looked at by somebody, and whether no more than the smallest picture is to be spent. */
  setWanted(watched: number, saves: boolean): void {
    [this.#watched, this.#saves] = [watched, saves];
    quiet(this.#apply());
  }

  /** Of one stream of layers the server says only whether anybody looks. */
  get #sizesWanted(): number {
    const watched = this.#codec && this.#watched > 0 ? Infinity : this.#watched;
    return this.#saves ? Math.min(1, watched) : watched;
  }

  /** After an answer: tells whether the camera goes as it was offered. If not, it goes in sizes, and that takes an offer. */
  async settle(): Promise<boolean> {
    const [codec, { sender }] = [this.#codec, this.#transceiver];
    if (!codec) return true;
    const taken = await this.#apply().then(
      () => isLayered(sender, codec),
      () => false,
    );
    if (taken || this.#transceiver.sender !== sender) return true;
    this.#refuse(codec, "it was not agreed on, or not in layers");
    this.#codec = null;
    this.#replace();
    return false;
  }

  #possible(codec: CameraCodec | null): Layered | null {
    return codec === null || codec === "vp8" || this.#refused.has(codec) ? null : codec;
  }

  #refuse(codec: Layered, why: string): void {
    console.info(`the camera goes as VP8, not as ${codec.toUpperCase()}: ${why}`);
    this.#refused.add(codec);
  }

  #replace(): void {
    this.#transceiver.stop();
    this.#transceiver = this.#begin();
    this.#put();
  }

  #begin(): RTCRtpTransceiver {
    if (this.#codec) {
      const transceiver = this.#add(layeredEncodings());
      if (prefers(transceiver, this.#codec)) return transceiver;
      this.#refuse(this.#codec, "the browser does not send it");
      this.#codec = null;
      transceiver.stop();
    }
    return this.#add(cameraEncodings());
  }

  #put(): void {
    const { sender } = this.#transceiver;
    if (sender.track !== this.#track) quiet(sender.replaceTrack(this.#track).then(() => this.#apply()));
  }

  #apply(): Promise<void> {
    const applied = this.#last.then(async () => {
      const { sender } = this.#transceiver;
      if (this.#codec) await setLayers(sender, this.#sizesWanted);
      else if (sender.track) await setSizes(sender, this.#sizesWanted);
    });
    this.#last = applied.catch(() => undefined);
    return applied;
  }
}

function prefers(transceiver: RTCRtpTransceiver, codec: Layered): boolean {
  try {
    return preferCodec(transceiver, codec);
  } catch {
    return false;
  }
}
