// Ours beside Janus: rounds alternate between the servers, the median counts, and the ratio is what is to be believed.
//
// The server has one processor, the generator another. Each measurement has a server of its own that has just been started.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync, openSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";

const environment = process.env;
const number = (name, otherwise) => Number(environment[name] || otherwise);
const rounds = number("BENCH_ROUNDS", 3);
const seconds = number("BENCH_SECONDS", 10);
const counts = (environment.BENCH_SUBSCRIBERS || "20 50 100 200").split(/\s+/).map(Number);
const address = environment.BENCH_ADDRESS || firstAddress();
const janus = environment.JANUS || "janus";
const kinds = environment.BENCH_ONLY ? [environment.BENCH_ONLY] : ["tandem", "janus"];
const folder = mkdtempSync(join(tmpdir(), "bench-sfu-"));
const running = new Set();

/** What is told of each measurement: a name, a unit, where it is among the generator's figures, how many digits. */
const FIGURES = [
  ["processor time", "us per packet", (f) => f.server.us_per_packet, 1],
  ["memory", "KiB per subscriber", (f) => f.server.kib_per_subscriber, 0],
  ["coming in", "ms of processor per subscriber", (f) => f.server.join_ms, 1],
  ["delay, median", "ms", (f) => f.packets.delay_ms.p50, 2],
  ["delay, 99th percentile", "ms", (f) => f.packets.delay_ms.p99, 2],
  ["first picture, median", "ms", (f) => f.joins.first_frame_ms.p50, 0],
];

function firstAddress() {
  const all = Object.values(networkInterfaces()).flat();
  const found = all.find((each) => each.family === "IPv4" && !each.internal);
  if (!found) throw new Error("expected an IPv4 address beside loopback, or BENCH_ADDRESS");
  return found.address;
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, address, () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** On one processor; where it is wished for, before all others. */
function pinned(processor, program, words, options) {
  const before = ["taskset", "-c", String(processor % cpus().length)];
  if (environment.BENCH_REALTIME) before.push("chrt", "-f", "10");
  const [first, ...rest] = [...before, program, ...words];
  const child = spawn(first, rest, options);
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

const log = (name) => openSync(join(folder, `${name}.log`), "a");

async function startTandem() {
  const port = await freePort();
  const settings = {
    DATA_DIR: join(folder, "data"),
    HTTP_ADDRESS: address,
    HTTP_PORT: port,
    HTTP_REDIRECT_PORT: 0,
    RELAY_PORT: await freePort(),
    RELAY_TLS_PORT: 0,
    MEDIA_PORT: 20_000 + (port % 20_000),
    MEDIA_ADDRESSES: address,
    ROOMS_MAX_PARTICIPANTS: 2_000,
  };
  const env = { ...environment };
  for (const [name, value] of Object.entries(settings)) env[`TANDEM_${name}`] = String(value);
  const out = log("tandem");
  const child = pinned(0, environment.TANDEM, ["serve"], { env, cwd: folder, stdio: ["ignore", out, out] });
  await answers(`https://${address}:${port}/readyz`, child);
  return { child, words: ["--url", `https://${address}:${port}`, "--insecure"] };
}

async function startJanus() {
  const port = await freePort();
  const config = join(folder, "janus");
  mkdirSync(config, { recursive: true });
  const library = "/usr/lib/x86_64-linux-gnu/janus";
  writeFileSync(
    join(config, "janus.jcfg"),
    `general: { configs_folder = "${config}"; plugins_folder = "${library}/plugins"; transports_folder = "${library}/transports";
      events_folder = "${library}/events"; loggers_folder = "${library}/loggers"; debug_level = 3; session_timeout = 0; event_loops = 2;
      no_webrtc_encryption = false; }
    nat: { nice_debug = false; ice_enforce_list = "${address}"; }
    plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so"; }
    transports: { disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so"; }`,
  );
  writeFileSync(
    join(config, "janus.transport.http.jcfg"),
    `general: { json = "compact"; base_path = "/janus"; http = true; port = ${port}; ip = "${address}"; https = false; }
    admin: { admin_http = false; admin_https = false; }`,
  );
  writeFileSync(join(config, "janus.plugin.videoroom.jcfg"), "general: { }\n");
  const out = log("janus");
  const child = pinned(0, janus, ["-F", config], { cwd: folder, stdio: ["ignore", out, out] });
  await answers(`http://${address}:${port}/janus/info`, child);
  return { child, words: ["--janus", `http://${address}:${port}/janus`] };
}

async function answers(url, child) {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) break;
    try {
      execFileSync("curl", ["-ksf", "-o", "/dev/null", "--max-time", "2", url]);
      // What a start leaves to do is done then.
      await sleep(500);
      return;
    } catch {
      await sleep(100);
    }
  }
  throw new Error(`no answer at ${url}: see ${folder}`);
}

async function measure(kind, subscribers) {
  const { child, words } = await (kind === "tandem" ? startTandem() : startJanus());
  const json = join(folder, "figures.json");
  const generator = pinned(
    1,
    environment.TANDEM,
    ["bench", "sfu", ...words, "--room", "bench", "--publishers", "1", "--subscribers", String(subscribers)]
      .concat(["--video", "1.5M", "--audio", "--seconds", String(seconds), "--threads", "1", "--max-loss", "100"])
      .concat(["--server-pid", String(child.pid), "--json", json]),
    { cwd: folder, stdio: ["ignore", log("generator"), log("generator")] },
  );
  const code = await new Promise((resolve) => generator.on("exit", resolve));
  const gone = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGKILL");
  await gone;
  if (code !== 0) throw new Error(`the generator failed at ${kind} with ${subscribers} subscribers: see ${folder}/generator.log`);
  return JSON.parse(readFileSync(json, "utf8"));
}

const median = (figures) => [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)];

function table(all) {
  const lines = ["| subscribers | | tandem | janus | ratio |", "|---|---|---|---|---|"];
  for (const subscribers of counts) {
    for (const [name, unit, of, digits] of FIGURES) {
      const [ours, theirs] = ["tandem", "janus"].map((kind) => {
        const own = all.filter((each) => each.kind === kind && each.subscribers === subscribers);
        return own.length ? median(own.map((each) => of(each.figures))) : undefined;
      });
      const text = (figure) => figure?.toFixed(digits) ?? "-";
      const ratio = ours !== undefined && theirs ? (ours / theirs).toFixed(2) : "-";
      lines.push(`| ${subscribers} | ${name}, ${unit} | ${text(ours)} | ${text(theirs)} | ${ratio} |`);
    }
  }
  return lines.join("\n");
}

async function main() {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    for (const subscribers of counts) {
      for (const kind of round % 2 ? [...kinds].reverse() : kinds) {
        const figures = await measure(kind, subscribers);
        all.push({ round, kind, subscribers, figures });
        const { server, packets, video, generator } = figures;
        const expected = packets.sent * subscribers;
        const share = ((packets.received / expected) * 100).toFixed(1);
        console.error(
          `round ${round + 1}, ${kind}, ${subscribers} subscribers: ${server.us_per_packet.toFixed(1)} us a packet, ${share} % arrived, ` +
            `${video.freezes} freezes, delay p99 ${packets.delay_ms.p99.toFixed(1)} ms, generator late p99 ${generator.late_ms.p99.toFixed(1)} ms`,
        );
      }
    }
  }
  console.log(table(all));
  if (environment.BENCH_JSON) writeFileSync(environment.BENCH_JSON, JSON.stringify(all, null, 1));
  rmSync(folder, { recursive: true });
}

process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
main().catch((error) => {
  console.error(String(error.message ?? error));
  process.exit(1);
});
