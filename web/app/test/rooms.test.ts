import { expect, test } from "vitest";
import { roomLink, roomOfPath, tidyRoomName } from "../src/lib/rooms.ts";

test("what a person types becomes something a link can carry", () => {
  expect(tidyRoomName("  Garden Club  ")).toBe("garden-club");
  expect(tidyRoomName("Straßen/Fest?#2026")).toBe("straßen-fest-2026");
  expect(tidyRoomName("a_b")).toBe("a_b");
  expect(tidyRoomName("--- / ---")).toBe("");
});

test("a room's link leads back to the room", () => {
  for (const room of ["tovu-rabi", "straße", "房间", "a b/c"]) {
    expect(roomOfPath(new URL(roomLink("https://tandem.example", room)).pathname)).toBe(room);
  }
});

test("a path that names no room gives none", () => {
  for (const path of ["/", "/r", "/r/", "/x/room", "/r/a/b", "/r/%E0%A4%A"]) expect(roomOfPath(path)).toBeNull();
  expect(roomOfPath("/call/desk/")).toBe("desk");
});
