// Runs in a worker: frames in, frames out. One per call, so that everything a page sends is counted by one counter.
import { FrameCipher, Readable, type MediaKind } from "./frames";
import { baseKey } from "./key";
import type { Attach, FromWorker, ToWorker } from "./media";

interface EncodedFrame {
  data: ArrayBuffer;
}

interface Transformer extends Pick<Attach, "readable" | "writable"> {
  readonly options: unknown;
}

/** What a worker has, as far as it is used; the types of pages and of workers exclude each other. */
interface Scope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onrtctransform: ((event: { transformer: Transformer }) => void) | null;
  postMessage(message: FromWorker): void;
}

const scope = globalThis as unknown as Scope;
const cipher = new FrameCipher();
/** By number: what comes by each receiver, and who that is. */
const receivers = new Map<number, { readable: Readable; round: number }>();

scope.onmessage = ({ data }) => {
  switch (data.type) {
    case "key":
      void baseKey(data.key, "media").then((base) => cipher.setKey(base));
      return;
    case "attach":
      return attach(data);
    case "begin":
      return begin(data.id, data.round);
    case "detach":
      receivers.delete(data.id);
  }
};

scope.onrtctransform = ({ transformer }) => {
  const { side, kind, id } = transformer.options as Attach;
  attach({ side, kind, id, readable: transformer.readable, writable: transformer.writable });
};

function begin(id: number, round: number): void {
  const receiver = receivers.get(id);
  if (!receiver) return;
  receiver.round = round;
  receiver.readable.reset();
}

function attach({ side, kind, id, readable, writable }: Attach): void {
  const transform = side === "send" ? sending(kind) : receiving(kind, id);
  const frames = readable as ReadableStream<EncodedFrame>;
  // It ends with its connection.
  frames
    .pipeThrough(new TransformStream<EncodedFrame, EncodedFrame>({ transform }))
    .pipeTo(writable as WritableStream<EncodedFrame>)
    .catch(() => undefined);
}

type Transform = (frame: EncodedFrame, out: TransformStreamDefaultController<EncodedFrame>) => Promise<void>;

function sending(kind: MediaKind): Transform {
  return async (frame, out) => {
    const sealed = await cipher.encrypt(kind, new Uint8Array(frame.data)).catch(() => null);
    if (!sealed) return;
    frame.data = sealed.buffer;
    out.enqueue(frame);
  };
}

function receiving(kind: MediaKind, id: number): Transform {
  const receiver = receivers.get(id) ?? { readable: new Readable(), round: 0 };
  receivers.set(id, receiver);
  return async (frame, out) => {
    const { round } = receiver;
    const plain = await cipher.decrypt(kind, new Uint8Array(frame.data)).catch(() => null);
    const told = round === receiver.round ? receiver.readable.handleFrame(performance.now(), plain !== null) : null;
    if (told !== null) scope.postMessage({ id, round, readable: told });
    if (!plain) return;
    frame.data = plain.buffer;
    out.enqueue(frame);
  };
}
