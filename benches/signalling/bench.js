// Ours beside a plain socket.io server, in one run: memory of an idle connection, CPU of a relayed message.
//
// CPU is user and system time of the server's process alone (/proc/<pid>/stat), so what the load costs is not in it.
import { fork, spawn } from "node:child_process";
import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

const IDLE = Number(process.env.BENCH_IDLE ?? 5000);
const MESSAGES = Number(process.env.BENCH_MESSAGES ?? 100_000);
const ROOMS = 50;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"]));
const SETTLE = 3000;
const binary = process.env.TANDEM;

const subjects = {
  node: { title: `Node ${process.version}, socket.io 4.8.4`, dialect: "relay", start: startNode },
  tandem: { title: "tandem, WebSocket", dialect: "tandem", start: startTandem },
  classic: { title: "tandem, Socket.IO (classic)", dialect: "classic", start: startTandem },
};

const results = {};
for (const [key, subject] of Object.entries(subjects)) results[key] = { title: subject.title, idle: await idle(subject), talk: {} };
for (const size of [2, 4]) {
  // Interleaved, so that what else happens on the machine strikes all of them.
  const rounds = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [key, subject] of Object.entries(subjects)) (rounds[key] ??= []).push(await talk(subject, size));
  }
  for (const [key, runs] of Object.entries(rounds)) {
    const micros = runs.map((run) => run.micros).sort((a, b) => a - b);
    results[key].talk[size] = { micros: micros[Math.floor(micros.length / 2)], all: micros, perSecond: Math.max(...runs.map((run) => run.perSecond)) };
  }
}
report();

async function idle(subject) {
  return await withServer(subject, async (server, load) => {
    const before = rss(server.pid);
    await load.ask("open", { dialect: subject.dialect, url: server.url, rooms: IDLE / 2, size: 2 });
    await sleep(SETTLE);
    const after = rss(server.pid);
    return { before, after, bytes: Math.round((after - before) / IDLE) };
  });
}

async function talk(subject, size) {
  return await withServer(subject, async (server, load) => {
    await load.ask("open", { dialect: subject.dialect, url: server.url, rooms: ROOMS, size });
    await load.ask("talk", { size, messages: 5_000 });
    const before = cpu(server.pid);
    const { seconds } = await load.ask("talk", { size, messages: MESSAGES });
    const used = cpu(server.pid) - before;
    return { micros: (used / MESSAGES) * 1e6, perSecond: Math.round(MESSAGES / seconds) };
  });
}

async function withServer(subject, work) {
  const server = await subject.start();
  const load = startLoad();
  try {
    return await work(server, load);
  } finally {
    load.end();
    await server.stop();
  }
}

function startLoad() {
  const child = fork(new URL("./load.js", import.meta.url));
  return {
    ask: (command, rest) => new Promise((resolve, reject) => {
      child.once("message", (message) => (message.error ? reject(new Error(message.error)) : resolve(message)));
      child.send({ command, ...rest });
    }),
    end: () => child.kill("SIGKILL"),
  };
}

async function startNode() {
  const port = await freePort();
  const child = spawn(process.execPath, [new URL("./relay.js", import.meta.url).pathname, `${port}`], { stdio: ["ignore", "ignore", "inherit"] });
  return await started(child, `http://127.0.0.1:${port}`, "/socket.io/?EIO=4&transport=polling");
}

async function startTandem() {
  const port = await freePort();
  const data = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  const flags = {
    "data-dir": data, "http.address": "127.0.0.1", "http.port": port, "log.level": "warn",
    "limits.connections": 20_000, "limits.connections-per-address": 20_000,
    "limits.requests-per-second": 1_000_000, "limits.requests-burst": 1_000_000, "rooms.max-rooms": 20_000,
  };
  const args = ["serve", "--http.behind-proxy=true", "--relay.enabled=false"];
  for (const [name, value] of Object.entries(flags)) args.push(`--${name}`, `${value}`);
  const child = spawn(binary, args, { stdio: ["ignore", "ignore", "inherit"] });
  child.once("exit", () => rmSync(data, { recursive: true, force: true }));
  return await started(child, `http://127.0.0.1:${port}`, "/healthz");
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function started(child, url, path) {
  while (!(await fetch(url + path).catch(() => null))?.ok) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(" ")} ended with ${child.exitCode}`);
    await sleep(50);
  }
  return {
    url: url.replace("http", "ws"),
    pid: child.pid,
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Seconds of user and system time. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Bytes. */
function rss(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) * 1024;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function report() {
  const { node } = results;
  console.log(`\n${IDLE} idle connections in rooms of 2; ${MESSAGES} messages of ${ROOMS} speakers; median of ${ROUNDS}; plain TCP on loopback; ${cpus().length} cores\n`);
  console.log("| | KiB per idle connection | of Node's | us CPU per message, rooms of 2 | of Node's | rooms of 4 | of Node's |");
  console.log("|---|---|---|---|---|---|---|");
  for (const result of Object.values(results)) {
    const share = (ours, theirs) => (ours / theirs).toFixed(2);
    const row = [
      result.title,
      (result.idle.bytes / 1024).toFixed(1), share(result.idle.bytes, node.idle.bytes),
      ...[2, 4].flatMap((size) => [result.talk[size].micros.toFixed(1), share(result.talk[size].micros, node.talk[size].micros)]),
    ];
    console.log(`| ${row.join(" | ")} |`);
  }
  const file = process.env.BENCH_JSON;
  if (file) writeFileSync(file, `${JSON.stringify({ idle: IDLE, messages: MESSAGES, rounds: ROUNDS, cores: cpus().length, results }, null, 2)}\n`);
}
