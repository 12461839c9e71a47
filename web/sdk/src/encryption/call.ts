// Everything of one call that its key protects.
import { CallError } from "../errors";
import { parseCallKey } from "./key";
import { MediaEncryption } from "./media";
import { Sealer } from "./sealer";

export class CallEncryption {
  readonly media: MediaEncryption;
  readonly chat: Sealer;
  readonly files: Sealer;
  readonly data: Sealer;
  readonly captions: Sealer;

  constructor(key: Uint8Array<ArrayBuffer>, worker: Worker, changed: () => void) {
    this.media = new MediaEncryption(key, worker, changed);
    this.chat = new Sealer(key, "chat");
    this.files = new Sealer(key, "files");
    this.data = new Sealer(key, "data");
    this.captions = new Sealer(key, "captions");
  }

  close(): void {
    this.media.close();
  }
}

/**
 * With the key from a link; `null` without one. With a key that is damaged, or in a browser that cannot, it throws: nobody is to
 * be in a call that is not encrypted instead.
 */
export function openEncryption(
  key: string | undefined,
  createWorker: () => Worker | null,
  changed: () => void,
): CallEncryption | null {
  if (key === undefined) return null;
  const bytes = parseCallKey(key);
  if (!bytes) throw new CallError("misuse", "The key of this call is damaged.");
  return new CallEncryption(bytes, startWorker(createWorker), changed);
}

function startWorker(createWorker: () => Worker | null): Worker {
  const message = "This browser cannot encrypt calls from end to end.";
  let worker: Worker | null;
  try {
    worker = createWorker();
  } catch (cause) {
    // The page's own policy may forbid it.
    throw new CallError("unsupported", message, { cause });
  }
  if (!worker) throw new CallError("unsupported", message);
  return worker;
}
