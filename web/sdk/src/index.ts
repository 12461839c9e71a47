// Everything the SDK exports; the app and the embed have no other door.
export * from "./types";
export type * from "./generated";
export { createCall } from "./call";
export type { Deps, Timers } from "./deps";
export { startMeter, type Meter } from "./level";
