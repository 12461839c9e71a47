// What goes over a page's WebSocket, read by the browser's own inspector: the page cannot hide anything from it.
import type { Page } from "@playwright/test";

type Direction = "sent" | "received";

export interface Frames {
  /** Every candidate, trickled or in a session description. */
  candidates(direction: Direction): string[];
  /** Reasons of all refused requests. */
  refusals(): string[];
  text(direction: Direction): string;
}

/** Call before the page opens its connection. */
export function framesOf(page: Page): Frames {
  const seen: { direction: Direction; text: string }[] = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => seen.push({ direction: "sent", text: String(payload) }));
    socket.on("framereceived", ({ payload }) => seen.push({ direction: "received", text: String(payload) }));
  });
  const parsed = (direction: Direction): Record<string, unknown>[] =>
    seen.filter((frame) => frame.direction === direction).flatMap((frame) => objects(frame.text));
  return {
    candidates: (direction) => parsed(direction).flatMap(candidatesIn),
    refusals: () =>
      parsed("received").flatMap(({ outcome, reason }) => (outcome === "refused" ? [String(reason)] : [])),
    text: (direction) => seen.flatMap((frame) => (frame.direction === direction ? [frame.text] : [])).join("\n"),
  };
}

function candidatesIn(frame: Record<string, unknown>): string[] {
  const { sdp, candidate } = frame;
  const found = typeof sdp === "string" ? (sdp.match(/candidate:.* typ .*/g) ?? []) : [];
  const trickled = (candidate as { candidate?: unknown } | undefined)?.candidate;
  return typeof trickled === "string" && trickled !== "" ? [...found, trickled] : [...found];
}

function objects(text: string): Record<string, unknown>[] {
  try {
    const value: unknown = JSON.parse(text);
    return [value].flat().filter((item): item is Record<string, unknown> => typeof item === "object" && item !== null);
  } catch {
    return [];
  }
}
