// A certificate is ordered, shown, kept, renewed, and missed, with pebble as the authority.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../ports.mjs";
import { makeRoot, readiness, shown, startAuthority, startDns, startTandem, stopAll, until } from "./processes.js";

const LONG = 90 * 86_400;
/** Renewed after two thirds of it. */
const SHORT = 12;

let folder, root, dns;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tandem-acme-"));
  root = makeRoot(folder);
  dns = await startDns();
});
after(async () => {
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
});

/** Where everything of one test is. */
async function place(name) {
  const [port, tlsPort, authority] = [await freePort(), await freePort(), await freePort()];
  const directory = `https://localhost:${authority}/dir`;
  return {
    port, tlsPort,
    tandem: () => startTandem({ data: join(folder, name), port, tlsPort, directory, root }),
    authority: (seconds) => startAuthority({ folder, root, dns, port: authority, tlsPort: port, seconds }),
  };
}

const isOrdered = (certificate) => /Pebble/.test(certificate?.issuer?.CN ?? "") && certificate;

test("the self-signed certificate serves until the authority answers; then its own, also for TURN, also after a restart", async () => {
  const here = await place("kept");
  let tandem = await here.tandem();
  assert.match((await shown(here.port)).subject.CN, /self-signed/);
  await until(() => /ACME: no certificate has come; the self-signed one is shown, and it is tried again/.test(tandem.log()));
  const waiting = await readiness(here.port);
  assert.deepEqual([waiting.code, waiting.status, waiting.parts.certificate.status], [200, "degraded", "degraded"]);
  assert.match(waiting.parts.certificate.problem, /no certificate from the authority/);

  const authority = await here.authority(LONG);
  const first = await until(async () => isOrdered(await shown(here.port)), () => tandem.hasEnded() && tandem.log());
  assert.equal(first.subjectaltname, "DNS:talk.test");
  assert.equal((await shown(here.tlsPort)).serialNumber, first.serialNumber, "TURN over TLS");
  assert.match((await shown(here.port, "localhost")).subject.CN, /self-signed/, "a name that was not ordered");
  const ready = await until(async () => { const now = await readiness(here.port); return now.status === "ready" && now; });
  assert.deepEqual(ready.parts.certificate, { status: "ok" });

  await tandem.stop();
  await authority.stop();
  tandem = await here.tandem();
  await until(() => /ACME: the kept certificate is in use/.test(tandem.log()));
  assert.equal((await shown(here.port)).serialNumber, first.serialNumber, "kept over the restart");
  assert.doesNotMatch(tandem.log(), /ERROR/);
  await tandem.stop();
});

test("a certificate is renewed without a restart; when that fails the old one is shown, and when it has expired we are not ready", async () => {
  const here = await place("renewed");
  const authority = await here.authority(SHORT);
  const tandem = await here.tandem();
  const first = await until(async () => isOrdered(await shown(here.port)));
  const second = await until(async () => {
    const now = isOrdered(await shown(here.port));
    return now && now.serialNumber !== first.serialNumber && now;
  });
  assert.equal((await shown(here.tlsPort)).serialNumber, second.serialNumber, "TURN over TLS");

  await authority.stop();
  await until(() => /ACME: no certificate has come; the one there is is shown/.test(tandem.log()));
  const failing = await readiness(here.port);
  assert.ok(isOrdered(await shown(here.port)), "the old one goes on");
  assert.match(failing.parts.certificate.problem, /cannot be renewed|expired/);
  const expired = await until(async () => { const now = await readiness(here.port); return now.code === 503 && now; });
  assert.deepEqual([expired.status, expired.parts.certificate.problem], ["failed", "the certificate has expired"]);
  await tandem.stop();
});
