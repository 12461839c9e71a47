// What the pictures of the relay's page show: keys, sessions and usage that nobody has relayed, in the server's own shapes.
import type { Page } from "@playwright/test";

const flow = (bytes: number): { packets: number; bytes: number } => ({ packets: Math.round(bytes / 900), bytes });
const key = (id: string, name: string, more: object = {}): object => ({
  id,
  name,
  created_at: 1_780_000_000_000,
  enabled: true,
  limits: {},
  origins: [],
  month_bytes: 0,
  ...more,
});

const KEYS = [
  key("3fa94c10b2de", "Telehealth", { month_bytes: 341e9, limits: { sessions: 400, bytes_per_month: 500e9 } }),
  key("77c0d1e85a41", "Clinic North", { parent: "3fa94c10b2de", month_bytes: 120e9, limits: { sessions: 100 } }),
  key("b81f02c6d9aa", "Language school", { month_bytes: 58.4e9 }),
  key("0d4e6f2a917c", "Old kiosk", { enabled: false, month_bytes: 2.1e9, limits: { bytes_per_month: 20e9 } }),
];

const session = (n: number, id: string, tag: string, transport: string, [up, down]: [number, number]): object => ({
  id: `${n % 2}-${n}-7`,
  key: id,
  tag,
  user: `${id}/${tag}/1f2e3d4c`,
  transport,
  client: `198.51.100.${10 + n}:${50_000 + 137 * n}`,
  relayed: [`203.0.113.5:${52_000 + n}`],
  started_at: Date.now() - n * 410_000,
  expires_at: Date.now() + 300_000,
  up: flow(up),
  down: flow(down),
});

const SESSIONS = [
  session(1, "3fa94c10b2de", "room-204", "udp", [41.2e6, 38.8e6]),
  session(3, "77c0d1e85a41", "waiting-7", "tls", [8.1e6, 22.4e6]),
  session(4, "b81f02c6d9aa", "spanish-b1", "udp", [155e6, 149e6]),
  session(9, "b81f02c6d9aa", "spanish-b1", "tcp", [90.3e6, 171e6]),
];

function usage(url: URL): object[] {
  const [from, to] = ["from", "to"].map((name) => Number(url.searchParams.get(name)));
  const sum = (at: number, up: number, down: number, more: object = {}): object => ({
    at,
    sessions: Math.round(up / 60e6),
    seconds: up / 8000,
    up: flow(up),
    down: flow(down),
    min_bytes: 1e5,
    max_bytes: 9e6,
    count: 60,
    ...more,
  });
  if (url.searchParams.get("step") === "all") {
    const shares = [
      ["3fa94c10b2de", 9.1e9],
      ["77c0d1e85a41", 5.2e9],
      ["b81f02c6d9aa", 3.3e9],
      ["", 1.2e9],
    ] as const;
    return shares.map(([id, bytes]) => sum(from ?? 0, bytes * 0.45, bytes * 0.55, { key: id }));
  }
  const hour = 3_600_000;
  const hours = Math.floor(((to ?? 0) - (from ?? 0)) / hour);
  return Array.from({ length: hours }, (_, index) => {
    // A working day: little at night, most at ten and at three.
    const at = (from ?? 0) + index * hour;
    const oclock = new Date(at).getUTCHours();
    const busy = Math.exp(-((oclock - 10) ** 2) / 8) + 0.8 * Math.exp(-((oclock - 15) ** 2) / 6) + 0.04;
    return sum(at, 0.82e9 * busy, 1.02e9 * busy);
  });
}

/** Answers in the server's place. Credentials are the server's own: the connection test is a real one. */
export async function draw(page: Page): Promise<void> {
  await page.route("**/api/v1/turn/{keys,sessions,usage}*", (route) => {
    const url = new URL(route.request().url());
    const what = url.pathname.split("/").at(-1);
    const json =
      what === "keys"
        ? { keys: KEYS }
        : what === "sessions"
          ? { sessions: SESSIONS }
          : { usage: usage(url), more: false };
    return route.fulfill({ json });
  });
}
