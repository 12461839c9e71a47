// A database of coturn's is taken over as it is; what we write there coturn reads; while it is down nobody new is let in,
// and when it is back they are, without a restart.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { coturn, lets, must, run, serve, stopAll, tandem, until } from "./processes.js";
import { mariadb, postgres, redis, sqlite } from "./servers.js";

const REALM = "north.gov";
const OTHER = "crinna.org";
const ORIGIN = ["-o", "https://bligh.edu:443"];
const password = (user, word) => ["-u", user, "-w", word];
/** Lets somebody in, at the second or third try when the machine is busy. */
const enters = (...of) => until(() => lets(...of), () => false, 40);
const secret = (value) => ["-u", "someone", "-W", value];

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "tandem-databases-"));
  chmodSync(folder, 0o755);
});
after(async () => {
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
});

/** As an operator of coturn has done it. */
async function fill(database, home) {
  const admin = (...args) => must("turnadmin", [...args, ...database.coturn], { cwd: home });
  await database.fill?.();
  await admin("-a", "-u", "gorst", "-r", REALM, "-p", "hero");
  await admin("-a", "-u", "whirrun", "-r", OTHER, "-p", "sword");
  await admin("-s", "logen", "-r", REALM);
  await admin("-s", "bloody9", "-r", REALM);
  await admin("-s", "library", "-r", OTHER);
  await admin("-O", "-o", "https://bligh.edu", "-r", OTHER);
  await admin("-g", "-r", OTHER, "--max-bps", "400000", "--user-quota", "8000", "--total-quota", "10000");
}

async function takenOver(database, home) {
  await database.start();
  await fill(database, home);
  const server = await serve(home, database.url, REALM);
  const port = server.relay;

  assert.ok(await enters(port, password("gorst", "hero")), "a user of the default realm");
  assert.ok(!await lets(port, password("gorst", "sword")), "by no other password");
  assert.ok(await enters(port, secret("logen")), "one secret of the realm");
  assert.ok(await enters(port, secret("bloody9")), "the other one");
  assert.ok(!await lets(port, secret("library")), "not another realm's");
  assert.ok(await enters(port, password("whirrun", "sword"), ORIGIN), "a user of the realm of a page");
  assert.ok(await enters(port, secret("library"), ORIGIN), "a secret of that realm");
  assert.ok(!await lets(port, password("whirrun", "sword")), "not in the default realm");
  return server;
}

async function writtenByUs(database, home, server) {
  const ours = async (args, input) => {
    const done = await tandem(database.url, args, { input });
    assert.equal(done.code, 0, done.err);
    return done.out;
  };
  await ours(["user", "add", "bob", "--realm", REALM, "--password-stdin"], "carol\n");
  assert.ok(await enters(server.relay, password("bob", "carol")));
  assert.match(await ours(["user", "list", "--realm", REALM]), /^bob {2}realm north\.gov\ngorst {2}realm north\.gov\n$/);
  await ours(["secret", "add", "--stdin", "--realm", REALM], "bayaz\n");
  await until(() => lets(server.relay, secret("bayaz")), () => false, 90);
  await ours(["secret", "remove", "baya", "--realm", REALM]);
  await until(async () => !await lets(server.relay, secret("bayaz")), () => false, 90);

  await ours(["origin", "add", "https://Talk.example.org", "--realm", OTHER]);
  await ours(["realm", "set", REALM, "--max-bps", "500000"]);
  await ours(["denied", "add", "198.51.100.0-198.51.100.9", "--realm", REALM]);
  await ours(["key", "add", "union", "--stdin", "--lifetime", "90d"], "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n");
  assert.match(await ours(["realm", "list"]), /crinna\.org {2}max-bps 400000 {2}total-quota 10000 {2}user-quota 8000\nnorth\.gov {2}max-bps 500000/);
  assert.match(await ours(["key", "list", "--show"]), /^union {2}MTIzNDU2.*A256GCM {2}until /);
  const admin = async (...args) => (await must("turnadmin", [...args, ...database.coturn], { cwd: home }));
  assert.match(await admin("-l", "-r", REALM), /bob/);
  assert.match(await admin("-I"), /https:\/\/talk\.example\.org:443 ==>> crinna\.org/);
  assert.match(await admin("-G", "-r", REALM), /max-bps.*500000/);
  assert.ok(!/bayaz/.test(await admin("-S", "-r", REALM)));

  const theirs = await coturn(home, database.coturn, REALM);
  assert.ok(await enters(theirs.relay, password("bob", "carol")), "coturn lets in whom we have added");
  await theirs.stop();

  // Room for SHA-256 keys: coturn's tools go on, and a password that they change is the only one.
  await ours(["prepare"]);
  await ours(["prepare"]);
  await ours(["user", "add", "bob", "--realm", REALM, "--password-stdin"], "dave\n");
  await admin("-a", "-u", "bob", "-r", REALM, "-p", "erin");
  const again = await serve(join(home, "again"), database.url, REALM);
  assert.ok(await enters(again.relay, password("bob", "erin")));
  assert.ok(!await lets(again.relay, password("bob", "dave")));
  await again.stop();
  await ours(["user", "remove", "bob", "--realm", REALM]);
  assert.equal((await tandem(database.url, ["user", "remove", "bob", "--realm", REALM])).code, 1);
}

async function outage(database, server) {
  await database.stop();
  await until(async () => (await server.readiness()).parts["relay-users"].status === "degraded");
  assert.equal((await server.readiness()).code, 200, "calls go on");
  assert.ok(!await lets(server.relay, password("nobody", "x")));
  const failed = await tandem(database.url, ["user", "list"]);
  assert.equal(failed.code, 1);
  assert.ok(!/p@ss|p%40ss/.test(failed.err + server.log()), "the password is not printed");
  await database.start();
  await until(async () => (await server.readiness()).parts["relay-users"].status === "ok");
  assert.ok(await enters(server.relay, password("gorst", "hero")));
  assert.ok(await enters(server.relay, secret("logen")));
  assert.equal(server.log().match(/cannot be looked up/g).length, 1, "an outage is said once");
  assert.equal(server.log().match(/can be looked up again/g).length, 1);
}

describe("a database of coturn's", { concurrency: 2 }, () => {
  for (const make of [sqlite, postgres, mariadb, redis]) {
    test(`${make.name}: is taken over, shared, and missed`, async () => {
      const home = join(folder, make.name);
      await must("mkdir", ["-p", home, join(home, "again")]);
      const database = await make(home);
      const server = await takenOver(database, home);
      await writtenByUs(database, home, server);
      if (database.stop) await outage(database, server);
      await server.stop();
    });
  }
});

test("a database that is down at the start keeps nobody from starting, and one that is none is refused", async () => {
  const home = join(folder, "down");
  await must("mkdir", ["-p", home]);
  const server = await serve(home, "postgres://turn:x@127.0.0.1:1/turn", REALM);
  const parts = (await server.readiness()).parts;
  assert.equal(parts["relay-users"].status, "degraded");
  assert.equal(parts.relay.status, "ok");
  await server.stop();
  const { code, err } = await run(process.env.TANDEM, ["serve", "--data-dir", join(home, "none"), "--relay.database", "oracle://u:hunter2@x"]);
  assert.equal(code, 1);
  assert.match(err, /relay\.database: expected sqlite:PATH/);
  assert.doesNotMatch(err, /hunter2/);
});
