// The SDK as the pages use it: its public face, imported in one place.
export { createCall, startMeter } from "@tandem/sdk";
export type {
  Call,
  CallEvents,
  CallState,
  ChatLine,
  EndReason,
  FileTransfer,
  JoinOptions,
  Local,
  Notice,
  Participant,
  Peer,
  Quality,
  Room,
} from "@tandem/sdk";
