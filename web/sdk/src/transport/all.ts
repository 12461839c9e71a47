// The ways to a server, the best one first.
import type { Deps } from "../deps";
import { pollingTransport } from "./polling";
import type { OpenTransport, TransportKind } from "./transport";
import { websocketTransport } from "./websocket";

export function transportsTo(
  server: string,
  wanted: "auto" | TransportKind,
  { createSocket, fetch }: Pick<Deps, "createSocket" | "fetch">,
): [TransportKind, OpenTransport][] {
  const all: [TransportKind, OpenTransport][] = [
    ["websocket", websocketTransport(server, createSocket)],
    ["polling", pollingTransport(server, fetch)],
  ];
  return all.filter(([kind]) => wanted === "auto" || wanted === kind);
}
