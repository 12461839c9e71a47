// The real binary and nginx in front of it, with the configuration the guide gives, on free ports of loopback.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../ports.mjs";

const binary = process.env.TANDEM ?? "tandem";
const guide = new URL("../../../docs/guide/operate.md", import.meta.url);
/** Clients that nginx lets through may have so many connections each. */
export const PER_ADDRESS = 3;

export async function startBoth() {
  const folder = mkdtempSync(join(tmpdir(), "tandem-proxy-"));
  const [inner, outer] = [await freePort(), await freePort()];
  let tandem = await startTandem(folder, inner);
  const nginx = startNginx(folder, inner, outer);
  await answers(`http://127.0.0.1:${inner}/healthz`, tandem);
  await portIsOpen(outer, nginx);
  return {
    inner, outer,
    stopTandem: () => stop(tandem),
    startTandem: async () => { tandem = await startTandem(folder, inner); },
    stop: async () => {
      await stop(nginx);
      await stop(tandem);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startTandem(folder, port) {
  const child = spawn(binary, [
    "serve", "--data-dir", join(folder, "data"), "--http.behind-proxy=true", "--http.address", "127.0.0.1",
    // Of the whole of loopback only nginx is believed: the others are this test's clients.
    "--http.trusted-proxies", "127.0.0.1/32", "--http.port", `${port}`, "--relay.enabled=false", "--log.level", "warn",
    "--limits.connections-per-address", `${PER_ADDRESS}`,
  ], { stdio: ["ignore", "ignore", "inherit"] });
  await answers(`http://127.0.0.1:${port}/healthz`, child);
  return child;
}

/** The guide's configuration, its names and ports replaced by this test's. */
function startNginx(folder, inner, outer) {
  const at = (name) => join(folder, name);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
    at("talk.key"), "-out", at("talk.pem"), "-subj", "/CN=localhost", "-days", "2"], { stdio: "pipe" });
  const block = /```nginx\n([\s\S]*?)```/.exec(readFileSync(guide, "utf8"))[1];
  const site = replaced(block, [
    ["127.0.0.1:8443", `127.0.0.1:${inner}`], ["listen 443 ssl", `listen 127.0.0.1:${outer} ssl`],
    ["/etc/ssl/talk.pem", at("talk.pem")], ["/etc/ssl/talk.key", at("talk.key")],
  ]);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${at(kind)};`).join("\n");
  const user = process.getuid() === 0 ? "user root;" : "";
  writeFileSync(at("nginx.conf"), `${user}
    daemon off; worker_processes 1; pid ${at("nginx.pid")}; error_log stderr error;
    events {} http { access_log off; ${temporary} ${site} }`);
  return spawn("nginx", ["-p", folder, "-e", "stderr", "-c", at("nginx.conf")], { stdio: ["ignore", "ignore", "inherit"] });
}

function replaced(text, pairs) {
  return pairs.reduce((sum, [from, to]) => {
    if (!sum.includes(from)) throw new Error(`the guide's configuration has no ${from}`);
    return sum.replaceAll(from, to);
  }, text);
}

async function stop(child) {
  if (child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

async function answers(url, child) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok) return;
    await pause();
  }
}

async function portIsOpen(port, child) {
  const { connect } = await import("node:net");
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    const open = await new Promise((resolve) => { socket.once("connect", () => resolve(true)); socket.once("error", () => resolve(false)); });
    socket.destroy();
    if (open) return;
    await pause();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
