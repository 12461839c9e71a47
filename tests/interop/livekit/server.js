// The real binary on a free port, with an API key that was there before it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../ports.mjs";

const binary = process.env.TANDEM ?? "tandem";

export async function startServer(flags) {
  const data = mkdtempSync(join(tmpdir(), "tandem-livekit-"));
  const tandem = (...words) => execFileSync(binary, [...words, "--data-dir", data], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  const text = tandem("key", "create", "--name", "interop");
  const key = { text, id: text.split("_")[1], secret: "" };
  key.secret = tandem("key", "secret", key.id);
  const port = await freePort();
  const child = spawn(
    binary,
    ["serve", "--data-dir", data, "--http.behind-proxy=true", "--http.address", "127.0.0.1", "--http.port", `${port}`,
      "--relay.enabled=false", "--media.port", "0", "--rooms.tokens=true", "--log.level", "warn", ...flags(key)],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const url = `http://127.0.0.1:${port}`;
  await ready(child, url);
  return {
    url,
    key,
    tandem,
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

async function ready(child, url) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/healthz`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
