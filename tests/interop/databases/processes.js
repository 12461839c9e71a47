// The real binary and coturn's programs: each ended by its id.
import { spawn } from "node:child_process";
import tls from "node:tls";
import { freePort } from "../ports.mjs";

const binary = process.env.TANDEM ?? "tandem";
const running = new Set();

/** Also after a test that failed. */
export async function stopAll() {
  await Promise.all([...running].map((child) => child.stop()));
}

/** A child whose output is kept, and which can be ended. */
export function start(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => { log += text; });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const handle = {
    log: () => log,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    stop: async (signal = "SIGTERM") => { running.delete(handle); child.kill(signal); await ended; },
  };
  running.add(handle);
  return handle;
}

/** A program that ends by itself: its exit code and what it said. */
export function run(program, args, { input = "", ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
    let out = "", err = "";
    child.stdout.setEncoding("utf8").on("data", (text) => { out += text; });
    child.stderr.setEncoding("utf8").on("data", (text) => { err += text; });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
    child.stdin.on("error", () => {}).end(input);
  });
}

/** The same, which must succeed. */
export async function must(program, args, options) {
  const done = await run(program, args, options);
  if (done.code !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.code}: ${done.out}${done.err}`);
  return done.out;
}

/** `tandem serve` with users from this database. */
export async function serve(folder, url, realm) {
  const [port, relay] = [await freePort(), await freePort()];
  const child = start(binary, ["serve", "--data-dir", `${folder}/data`, "--http.address", "127.0.0.1", "--http.port", `${port}`,
    "--http.redirect-port", "0", "--relay.port", `${relay}`, "--relay.tls-port", "0", "--relay.allow-loopback=true",
    "--relay.realm", realm, "--log.level", "info"], { env: { ...process.env, TANDEM_RELAY_DATABASE: url } });
  child.relay = relay;
  child.readiness = () => readiness(port);
  await until(async () => (await child.readiness().catch(() => null))?.code === 200,
    () => child.hasEnded() && `tandem ended: ${child.log()}`);
  return child;
}

/** `tandem turn …` on this database. */
export function tandem(url, args, options) {
  return run(binary, ["turn", ...args], { env: { ...process.env, TANDEM_RELAY_DATABASE: url }, ...options });
}

/** coturn itself, on the same database. */
export async function coturn(folder, database, realm) {
  const port = await freePort();
  const child = start("turnserver", ["-n", "-L", "127.0.0.1", "-p", `${port}`, "--lt-cred-mech", "-r", realm, ...database,
    "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers", "--pidfile", `${folder}/pid`, "--log-file", "stdout"],
  { cwd: folder });
  child.relay = port;
  // What it prints arrives late; that it answers does not. The client waits for ever for an answer that does not come.
  await until(async () => /UDP reflexive addr/.test((await run("timeout", ["2", "turnutils_stunclient", "-p", `${port}`, "127.0.0.1"])).out),
    () => child.hasEnded() && child.log());
  return child;
}

/** Whether coturn's client is let in, and its packets come back. Without an answer it would wait for ever. */
export async function lets(port, credential, options = []) {
  const args = [...credential, ...options, "-p", `${port}`, "-n", "5", "-z", "5", "-y", "-c", "127.0.0.1"];
  const { code, out, err } = await run("timeout", ["15", "turnutils_uclient", ...args]);
  if (code === 0 && !/Total lost packets 0/.test(out + err)) throw new Error(`packets were lost: ${out}${err}`);
  return code === 0;
}

/** What /readyz says. */
async function readiness(port) {
  const socket = tls.connect({ host: "127.0.0.1", port, servername: "localhost", rejectUnauthorized: false });
  socket.write("GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  let answer = "";
  for await (const part of socket.setEncoding("utf8")) answer += part;
  const [head, body] = answer.split("\r\n\r\n");
  return { code: Number(head.split(" ")[1]), ...JSON.parse(body) };
}

/** Asks again until the answer is a true one, or `failed` gives a reason. */
export async function until(ask, failed = () => false, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer) return answer;
    const reason = failed();
    if (reason) throw new Error(reason);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain: ${ask}`);
}
