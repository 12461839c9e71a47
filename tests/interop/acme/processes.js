// The certificate authority (pebble), its DNS, and the real binary: each on free ports of loopback, each ended by its id.
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { freePort } from "../ports.mjs";

const binary = process.env.TANDEM ?? "tandem";
export const NAME = "talk.test";

const running = new Set();

/** Also after a test that failed. */
export async function stopAll() {
  await Promise.all([...running].map((child) => child.stop()));
}

/** A child whose standard error is kept, and which can be ended. */
function start(program, args, env = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => { log += text; });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const handle = {
    log: () => log,
    hasEnded: () => child.exitCode !== null,
    stop: async () => { running.delete(handle); child.kill("SIGTERM"); await ended; },
  };
  running.add(handle);
  return handle;
}

/** Every name is this machine. */
export async function startDns() {
  const [dns, management] = [await freePort(), await freePort()];
  const none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
  const child = start("pebble-challtestsrv", ["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${management}`, ...none]);
  child.address = `127.0.0.1:${dns}`;
  return child;
}

/** A root that vouches for the authority's own HTTPS. */
export function makeRoot(folder) {
  const at = (name) => join(folder, name);
  writeFileSync(at("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const openssl = (...args) => execFileSync("openssl", args, { stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", at("root.key"), "-out", at("root.pem"), "-subj", "/CN=Root of the test", "-days", "2");
  openssl("req", ...key, "-keyout", at("pebble.key"), "-out", at("pebble.csr"), "-subj", "/CN=localhost");
  openssl("x509", "-req", "-in", at("pebble.csr"), "-CA", at("root.pem"), "-CAkey", at("root.key"), "-CAcreateserial",
    "-extfile", at("san"), "-out", at("pebble.pem"), "-days", "2");
  return { ca: at("root.pem"), certificate: at("pebble.pem"), key: at("pebble.key") };
}

/** The authority; `seconds` is how long its certificates are good for. It checks names on port `tlsPort`. */
export async function startAuthority({ folder, root, dns, port, tlsPort, seconds }) {
  const config = join(folder, "pebble.json");
  const pebble = {
    listenAddress: `127.0.0.1:${port}`, managementListenAddress: "", certificate: root.certificate, privateKey: root.key,
    httpPort: await freePort(), tlsPort, ocspResponderURL: "", externalAccountBindingRequired: false,
    certificateValidityPeriod: seconds,
  };
  writeFileSync(config, JSON.stringify({ pebble }));
  // No invented delays, no invented errors.
  const env = { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0" };
  const child = start("pebble", ["-config", config, "-dnsserver", dns.address], env);
  await until(() => shown(port, "localhost"), () => child.hasEnded() && `pebble ended: ${child.log()}`);
  return child;
}

/** `tandem serve`, ordering a certificate for NAME. */
export async function startTandem({ data, port, tlsPort, directory, root }) {
  const child = start(binary, ["serve", "--data-dir", data, "--http.address", "127.0.0.1", "--http.port", `${port}`,
    "--http.redirect-port", "0", "--relay.port", `${await freePort()}`, "--relay.tls-port", `${tlsPort}`,
    "--relay.allow-loopback=true", "--tls.acme-domains", NAME, "--tls.acme-email", "admin@talk.test",
    "--tls.acme-directory", directory, "--tls.acme-ca", root.ca, "--log.level", "info"]);
  await until(() => shown(port), () => child.hasEnded() && `tandem ended: ${child.log()}`);
  return child;
}

/** The certificate shown on a port to whoever asks for this name; `null` when nobody answers. */
export function shown(port, servername = NAME) {
  return new Promise((resolve) => {
    const socket = tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
    socket.once("secureConnect", () => { resolve(socket.getPeerCertificate(false)); socket.destroy(); });
    socket.once("error", () => resolve(null));
  });
}

/** What /readyz says. */
export async function readiness(port) {
  const socket = tls.connect({ host: "127.0.0.1", port, servername: NAME, rejectUnauthorized: false });
  socket.write("GET /readyz HTTP/1.1\r\nhost: talk.test\r\nconnection: close\r\n\r\n");
  let answer = "";
  for await (const part of socket.setEncoding("utf8")) answer += part;
  const [head, body] = answer.split("\r\n\r\n");
  return { code: Number(head.split(" ")[1]), ...JSON.parse(body) };
}

/** Asks again until the answer is a true one, or `failed` gives a reason. */
export async function until(ask, failed = () => false) {
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    const reason = failed();
    if (reason) throw new Error(reason);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
