import { expect, test } from "vitest";
import type { Participant, Presence } from "../src/generated";
import { follow, isMeshFull, meshOf, type Roster } from "../src/roster";
import { FakeServer, LIMITS } from "./fake-server";

function someone(id: string, state: Presence = "here", client: Participant["client"] = "web"): Participant {
  const media = { audio: false, video: false, screen: false };
  return {
    id,
    name: `Name of ${id}`,
    media,
    state,
    hide_address: false,
    encrypted: false,
    client,
    epoch: 1,
    tracks: [],
    joined_at: 1,
  };
}

function roster(...participants: Participant[]): Roster {
  return { you: "p1", room: { ...new FakeServer().room, host: "p1" }, participants, limits: { ...LIMITS, mesh: 2 } };
}

test("the mesh is the first ones that are in and speak our protocol", () => {
  const full = roster(someone("p1"), someone("p2", "ringing"), someone("p3", "here", "classic"), someone("p4", "away"));
  expect([...meshOf(full)]).toEqual(["p1", "p4"]);
  expect(isMeshFull(full)).toBe(false);
  const more = roster(someone("p1"), someone("p4"), someone("p5"));
  expect([...meshOf(more)]).toEqual(["p1", "p4"]);
  expect(isMeshFull(more)).toBe(true);
});

test("whoever is let in late comes after those who are in, whatever the order of arrival", () => {
  const late = { ...someone("p2"), joined_at: 50 };
  const full = roster(someone("p1"), late, someone("p3"));
  expect([...meshOf(full)]).toEqual(["p1", "p3"]);
  expect([...meshOf(roster(someone("p10"), someone("p9"), someone("p11")))]).toEqual(["p9", "p10"]);
});

test.each([
  ["ringing", "here", "joined"],
  ["here", "away", "away"],
  ["away", "here", "back"],
] as const)("from %s to %s is announced as %s", (before, after, kind) => {
  const event = { type: "participant_changed" as const, participant: someone("p2", after) };
  const { notices } = follow(roster(someone("p1"), someone("p2", before)), event);
  expect(notices).toEqual([{ kind, name: "Name of p2", participant: "p2" }]);
});

test("what changes about oneself, and the leaving of nobody, is not announced", () => {
  const start = roster(someone("p1"));
  expect(follow(start, { type: "participant_changed", participant: someone("p1", "away") }).notices).toEqual([]);
  const step = follow(start, { type: "participant_left", participant: "p9", reason: "left" });
  expect(step).toEqual({ roster: start, notices: [] });
});

test("a new host and a lock are announced", () => {
  const start = roster(someone("p1"), someone("p2"));
  const { notices } = follow(start, { type: "room_changed", room: { ...start.room, host: "p2", locked: true } });
  expect(notices).toEqual([{ kind: "locked" }, { kind: "host", name: "Name of p2", you: false }]);
});
