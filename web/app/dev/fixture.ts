// One state of one page, as the address asks: `?page=call&people=3&share=them&panel=chat`.
import { mount } from "svelte";
import { prepare } from "../src/lib/start.ts";
import EndPage from "../src/pages/room/EndPage.svelte";
import InCall from "../src/pages/room/InCall.svelte";
import Ringing from "../src/pages/room/Ringing.svelte";
import { Session } from "../src/pages/room/session.svelte.ts";
import type { CallState, EndReason } from "../src/lib/sdk.ts";
import { BANDWIDTHS } from "../src/lib/preferences.ts";
import { fakeCall } from "./fake-call.ts";

const query = new URLSearchParams(location.search);
const has = (name: string): boolean => query.has(name);
const room = "tovu-rabi-keno-lipa-duza";
const target = await prepare();

if (query.get("page") === "end") {
  const reason = (query.get("reason") ?? "left") as EndReason;
  const lasted = has("never") ? null : 754_000;
  mount(EndPage, {
    target,
    props: { room, reason, detail: "expected a room, got a wall", lasted, onrejoin: () => undefined },
  });
} else if (query.get("page") === "ringing") {
  mount(Ringing, { target, props: { room: "front-desk", oncancel: () => undefined } });
} else {
  const state: CallState = has("lost") ? { state: "reconnecting", since: Date.now(), attempt: 2 } : { state: "joined" };
  const mode = has("ring") ? "call" : "room";
  const call = fakeCall({
    people: Number(query.get("people") ?? "2"),
    share: (query.get("share") ?? "none") as "none",
    camera: !has("nocam"),
    microphone: !has("nomic"),
    state,
    chat: !has("nochat"),
    host: has("host"),
    entry: has("ring") ? "ring" : "open",
    ringing: has("knock"),
    locked: has("locked"),
    meshFull: has("full"),
    talkingMuted: has("talking"),
    bandwidth: BANDWIDTHS.find((each) => each === query.get("bandwidth")) ?? "full",
    paused: has("paused"),
    rooms: Number(query.get("rooms") ?? "0"),
    inside: has("inside"),
    watching: has("watching"),
    captions: has("captions"),
  });
  const session = new Session(call, { room, mode, key: null, token: null }, () => "Guest");
  session.since = Date.now() - 754_000;
  mount(InCall, { target, props: { session, link: `https://tandem.example/r/${room}` } });
}
