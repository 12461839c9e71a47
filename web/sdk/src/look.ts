// A look into a room before entering it: who is there, and whether the door is open. Leaves no trace there.
import { browserDeps, type Deps } from "./deps";
import type { Seen } from "./generated";
import { pollingTransport } from "./transport/polling";
import type { OpenTransport } from "./transport/transport";
import { websocketTransport } from "./transport/websocket";
import { parseServerFrame } from "./wire";

export interface LookOptions {
  /** Origin of the server. Default: the page's own. */
  server?: string;
  signal?: AbortSignal;
}

/** `null` where the server does not say, or was not reached. Never rejects. */
export async function lookInto(
  room: string,
  options: LookOptions = {},
  deps: Partial<Deps> = {},
): Promise<Seen | null> {
  const { origin, timers, createSocket, fetch } = { ...browserDeps(), ...deps };
  const { server = origin, signal } = options;
  for (const open of [websocketTransport(server, createSocket), pollingTransport(server, fetch)]) {
    if (signal?.aborted) break;
    const answer = await ask(open, room, timers, signal);
    if (answer !== "silence") return answer;
  }
  return null;
}

function ask(
  open: OpenTransport,
  room: string,
  timers: Deps["timers"],
  signal: AbortSignal | undefined,
): Promise<Seen | null | "silence"> {
  return new Promise((resolve) => {
    const finish = (answer: Seen | null | "silence"): void => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
      transport?.close();
      resolve(answer);
    };
    const onAbort = (): void => finish(null);
    const cancel = timers.after(ANSWER_WITHIN_MS, () => finish("silence"));
    signal?.addEventListener("abort", onAbort);
    let transport: ReturnType<OpenTransport> | null = null;
    try {
      transport = open({
        open: () => transport?.send({ type: "look", room }),
        frame: (frame) => finish(seenIn(frame)),
        closed: () => finish("silence"),
      });
    } catch {
      // A page's security policy may forbid the very attempt.
      finish("silence");
    }
  });
}

function seenIn(frame: unknown): Seen | null {
  const incoming = parseServerFrame(frame);
  if (incoming.kind !== "note" || incoming.note.type !== "seen") return null;
  const { door, participants, names } = incoming.note;
  return { door, participants, names };
}

const ANSWER_WITHIN_MS = 5_000;
