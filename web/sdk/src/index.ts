// Everything the SDK exports; the app and the embed have no other door.
export * from "./types";
export type * from "./generated";
export { createCall } from "./call";
export type { Deps, Timers } from "./deps";
export * from "./devices";
export { newCallKey, parseCallKey } from "./encryption/key";
export { canEncryptMedia } from "./encryption/media";
export { levelOf, SpeechDetector, startMeter, type Meter } from "./level";
export * from "./links";
export { lookInto, type LookOptions } from "./look";
export { roomName } from "./names";
export { cameraCodecs } from "./plane/encodings";
export { decides, mayOf } from "./rights";
