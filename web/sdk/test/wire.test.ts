import { expect, test } from "vitest";
import { parseServerFrame } from "../src/wire";

test.each([
  "{",
  "null",
  "[]",
  "{}",
  '{"type":7}',
  '{"type":"pang"}',
  '{"type":"resumed"}',
  '{"type":"resumed","received":-1}',
  '{"type":"refused","reason":"too_many","detail":"","fatal":"yes"}',
  '{"n":0,"type":"out","reason":"left"}',
  '{"n":1.5,"type":"out","reason":"left"}',
  '{"n":1,"type":"out"}',
  '{"n":1,"type":"reply","to":1,"outcome":"maybe"}',
  '{"n":1,"type":"reply","to":1,"outcome":"refused"}',
  '{"n":1,"type":"participant_joined","participant":{"id":"p1"}}',
  '{"n":1,"type":"candidate","from":"p1","candidate":{"candidate":7}}',
  '{"n":1,"type":"moved","room":"kitchen"}',
  '{"type":"caption","from":"p1","line":-1,"text":"","done":true,"language":"en"}',
  '{"type":"seen","door":"ajar","participants":0,"names":[]}',
  '{"n":1,"type":"ice_servers","ice_servers":[{"urls":"stun:x"}]}',
])("%s is refused", (frame) => {
  expect(parseServerFrame(frame).kind).toBe("bad");
});

test("frames are read as text and as values", () => {
  const out = { n: 3, type: "out", reason: "left" };
  expect(parseServerFrame(JSON.stringify(out))).toEqual({ kind: "event", n: 3, event: out });
  expect(parseServerFrame(out)).toEqual({ kind: "event", n: 3, event: out });
  expect(parseServerFrame('{"type":"pong"}')).toEqual({ kind: "note", note: { type: "pong" } });
});

test("a type that is the name of something every object has is unknown, not found", () => {
  expect(parseServerFrame('{"n":1,"type":"constructor"}')).toEqual({ kind: "event", n: 1, event: null });
  expect(parseServerFrame('{"type":"toString"}').kind).toBe("bad");
});
