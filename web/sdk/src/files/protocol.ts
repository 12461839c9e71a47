// What is said of files, by their own data channel or through the server: messages in JSON, and pieces of a file.
//
//   sender ──offer──► receiver ──accept──► sender ──pieces…, end{sha256}──► receiver ──done|bad──► sender
//             └─withdraw─►     └─decline──►              ◄──stop──┘
//
// Through the server the receiver says now and then how far it has come (`got`), and the sender waits for that.
//
// A transfer is named by a number the sender counts; a piece is that number (4 bytes, big-endian) and nearly 16 KiB.
import { isRecord } from "../wire";

export type FileMessage =
  | { type: "offer"; id: number; name: string; size: number; mime: string }
  | { type: "accept" | "done" | "withdraw"; id: number }
  | { type: "decline" | "stop" | "bad"; id: number; reason: string }
  | { type: "got"; id: number; done: number }
  | { type: "end"; id: number; sha256: string };

export function parseFileMessage(text: string): FileMessage | null {
  if (text.length > MAX_TEXT) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || !isCount(value["id"], MAX_NUMBER)) return null;
  const id = value["id"];
  const type = value["type"];
  switch (type) {
    case "offer": {
      const { name, size, mime } = value;
      if (typeof name !== "string" || typeof mime !== "string" || !isCount(size, Number.MAX_SAFE_INTEGER)) return null;
      return { type, id, name: cleanName(name), size, mime: cleanType(mime) };
    }
    case "accept":
    case "done":
    case "withdraw":
      return { type, id };
    case "decline":
    case "stop":
    case "bad": {
      const reason = value["reason"];
      return { type, id, reason: typeof reason === "string" ? reason.slice(0, MAX_REASON) : "" };
    }
    case "got": {
      const done = value["done"];
      return isCount(done, Number.MAX_SAFE_INTEGER) ? { type, id, done } : null;
    }
    case "end": {
      const sha256 = value["sha256"];
      return typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256) ? { type, id, sha256 } : null;
    }
    default:
      return null;
  }
}

export function writePiece(id: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const piece = new Uint8Array(HEADER + bytes.length);
  new DataView(piece.buffer).setUint32(0, id);
  piece.set(bytes, HEADER);
  return piece;
}

export function parsePiece(piece: Uint8Array<ArrayBuffer>): { id: number; bytes: Uint8Array<ArrayBuffer> } | null {
  if (piece.length <= HEADER) return null;
  const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
  return { id: view.getUint32(0), bytes: piece.subarray(HEADER) };
}

/** The last part of a path, without characters that hide or reorder what a person reads. */
export function cleanName(name: string): string {
  const last = name.split(/[/\\]/).pop() ?? "";
  const clean = [...last.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "").trim()].slice(0, MAX_NAME).join("");
  return clean === "" || /^\.+$/.test(clean) ? "file" : clean;
}

function cleanType(type: string): string {
  return /^[\w.+-]{1,64}\/[\w.+-]{1,64}$/.test(type) ? type : "application/octet-stream";
}

function isCount(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= max;
}

/** With its header, and what sealing and the way add, a piece stays within what every browser takes as one message. */
export const PIECE_BYTES = 16 * 1024 - 64;
const HEADER = 4;
const MAX_NUMBER = 0xffff_ffff;
const MAX_NAME = 200;
const MAX_REASON = 200;
const MAX_TEXT = 4096;
