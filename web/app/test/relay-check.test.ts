import { expect, test } from "vitest";
import { verdict, ways, type Result, type WayName, type Why } from "../src/lib/relay/check.ts";

const servers = [
  { urls: ["stun:talk.example:3478"] },
  {
    urls: [
      "turn:talk.example:3478?transport=udp",
      "turn:talk.example:3478?transport=tcp",
      "turns:talk.example:5349?transport=tcp",
      "turns:talk.example:443?transport=tcp",
    ],
    username: "u",
    credential: "p",
  },
];

test("each way is found once, and the port of the page is a way of its own", () => {
  expect(ways(servers, "443").map(({ name }) => name)).toEqual(["stun", "udp", "tcp", "tls", "https"]);
  expect(ways(servers, "443")[4]?.url).toBe("turns:talk.example:443?transport=tcp");
  expect(ways(servers, "8443").map(({ name }) => name)).toEqual(["stun", "udp", "tcp", "tls"]);
  expect(ways([{ urls: ["stun:[::1]:3478"] }], "443")).toEqual([{ name: "stun", url: "stun:[::1]:3478" }]);
});

const works: Result = { state: "works", reached: 1, roundTrip: 1 };
const fails = (why: Why): Result => ({ state: "fails", why });
const all = (results: Partial<Record<WayName, Result>>): { name: WayName; result: Result }[] =>
  (["stun", "udp", "tcp", "tls", "https"] as const).map((name) => ({
    name,
    result: results[name] ?? fails("blocked"),
  }));

test("all results together say what a call will meet", () => {
  expect(verdict(all({ stun: works, udp: works, tcp: works, tls: works, https: works }))).toBe("all");
  expect(verdict(all({ stun: works, udp: works, tcp: works }))).toBe("some");
  expect(verdict(all({ tcp: works, tls: works, https: works }))).toBe("no-udp");
  expect(verdict(all({ tls: works, https: works }))).toBe("only-tls");
  expect(verdict(all({ https: works }))).toBe("only-https");
  expect(verdict(all({}))).toBe("none");
  expect(verdict(all({ udp: fails("silent") }))).toBe("silent");
  expect(verdict(all({ udp: fails("refused"), tcp: fails("refused") }))).toBe("refused");
});
