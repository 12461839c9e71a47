// Starts the real binary on free ports with a data directory of its own, and ends it.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../ports.mjs";

const binary = process.env.TANDEM ?? "tandem";

export async function startServer(...flags) {
  const data = mkdtempSync(join(tmpdir(), "tandem-socketio-"));
  const port = await freePort();
  const child = spawn(
    binary,
    ["serve", "--data-dir", data, "--http.behind-proxy=true", "--http.address", "127.0.0.1", "--http.port", `${port}`,
      "--relay.enabled=false", "--log.level", "warn", ...flags],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const url = `http://127.0.0.1:${port}`;
  await ready(child, url);
  return {
    url,
    pid: child.pid,
    createKey: () => createKey(data),
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

function createKey(data) {
  const printed = execFileSync(binary, ["key", "create", "--name", "interop", "--data-dir", data], { encoding: "utf8" });
  const key = printed.match(/\btdm_[A-Za-z0-9_-]+|\b[A-Za-z0-9_-]{32,}\b/);
  if (!key) throw new Error(`no key in: ${printed}`);
  return key[0];
}

async function ready(child, url) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/healthz`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
