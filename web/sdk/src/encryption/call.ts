// Everything of one call that its key protects.
import { MediaEncryption } from "./media";
import { Sealer } from "./sealer";

export class CallEncryption {
  readonly media: MediaEncryption;
  readonly chat: Sealer;
  readonly files: Sealer;
  readonly data: Sealer;

  constructor(key: Uint8Array<ArrayBuffer>, worker: Worker, changed: () => void) {
    this.media = new MediaEncryption(key, worker, changed);
    this.chat = new Sealer(key, "chat");
    this.files = new Sealer(key, "files");
    this.data = new Sealer(key, "data");
  }

  close(): void {
    this.media.close();
  }
}
