// Databases in temporary directories: how each is made, started, reached by coturn's tools and by us.
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.mjs";
import { must, run, start, until } from "./processes.js";

const SCHEMA = "/usr/share/coturn/schema.sql";
const PASSWORD = "p@ss:word/1";
const NOBODY = 65534;

/** PostgreSQL and MariaDB refuse to run as root. */
function unprivileged(folder) {
  mkdirSync(folder, { recursive: true });
  if (process.getuid() !== 0) return {};
  chownSync(folder, NOBODY, NOBODY);
  return { uid: NOBODY, gid: NOBODY, env: { ...process.env, HOME: folder }, cwd: folder };
}

/** coturn's own file, which `turnadmin` makes. */
export async function sqlite(folder) {
  const file = join(folder, "turndb");
  return { name: "SQLite", url: `sqlite:${file}`, coturn: ["-b", file], start: async () => {}, stop: null };
}

export async function postgres(folder) {
  const data = join(folder, "postgres");
  const as = unprivileged(data);
  const program = (name) => join(process.env.POSTGRES, name);
  const port = await freePort();
  writeFileSync(join(data, "password"), PASSWORD);
  const made = join(data, "made");
  await must(program("initdb"), ["-D", made, "-U", "turn", "-A", "scram-sha-256", `--pwfile=${join(data, "password")}`, "-E", "UTF8",
    "--locale=C", "--no-sync"], as);
  // Its own authority, as private databases have.
  await must("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
    join(made, "server.key"), "-out", join(made, "server.crt"), "-subj", "/CN=localhost", "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"], as);
  chmodSync(join(made, "server.key"), 0o600);
  let child;
  const connection = `host=127.0.0.1 port=${port} user=turn password=${PASSWORD} dbname=postgres`;
  const psql = (sql) => must(program("psql"), ["-q", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c", sql]);
  return {
    name: "PostgreSQL",
    url: `postgres://turn:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres?sslmode=verify-full`
      + `&sslrootcert=${encodeURIComponent(join(made, "server.crt"))}`,
    coturn: ["-e", connection],
    start: async () => {
      child = start(program("postgres"), ["-D", made, "-p", `${port}`, "-h", "127.0.0.1", "-k", data, "-c", "fsync=off", "-c", "ssl=on"], as);
      await until(async () => (await run(program("psql"), ["-d", connection, "-c", "SELECT 1"])).code === 0,
        () => child.hasEnded() && child.log());
    },
    fill: () => psql(readFileSync(SCHEMA, "utf8")),
    stop: () => child.stop("SIGINT"),
  };
}

export async function mariadb(folder) {
  const data = join(folder, "mariadb");
  const as = unprivileged(data);
  const port = await freePort();
  const made = join(data, "made");
  await must("mariadb-install-db", ["--no-defaults", `--datadir=${made}`, "--auth-root-authentication-method=normal", "--skip-test-db"], as);
  const grants = join(data, "grants.sql");
  writeFileSync(grants, `CREATE DATABASE IF NOT EXISTS coturn;\nCREATE USER IF NOT EXISTS turn@'%' IDENTIFIED BY '${PASSWORD}';\n`
    + "GRANT ALL ON coturn.* TO turn@'%';\n");
  let child;
  const client = ["--no-defaults", "-h", "127.0.0.1", "-P", `${port}`, "-u", "turn", `-p${PASSWORD}`, "coturn"];
  return {
    name: "MariaDB",
    url: `mysql://turn:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/coturn`,
    coturn: ["-M", `host=127.0.0.1 port=${port} user=turn password=${PASSWORD} dbname=coturn`],
    start: async () => {
      child = start("mariadbd", ["--no-defaults", `--datadir=${made}`, `--socket=${join(data, "socket")}`, `--port=${port}`,
        "--bind-address=127.0.0.1", `--pid-file=${join(data, "pid")}`, `--init-file=${grants}`, "--skip-name-resolve"], as);
      await until(async () => (await run("mariadb", [...client, "-e", "SELECT 1"])).code === 0, () => child.hasEnded() && child.log());
    },
    fill: () => must("mariadb", client, { input: readFileSync(SCHEMA, "utf8") }),
    stop: () => child.stop(),
  };
}

export async function redis(folder) {
  const data = join(folder, "redis");
  const as = unprivileged(data);
  const port = await freePort();
  let child;
  return {
    name: "Redis",
    url: `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/2`,
    coturn: ["-N", `ip=127.0.0.1 port=${port} dbname=2 password=${PASSWORD} connect_timeout=30`],
    start: async () => {
      child = start("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", data, "--requirepass", PASSWORD,
        "--notify-keyspace-events", "KA"], as);
      await until(() => /Ready to accept connections/.test(child.log()), () => child.hasEnded() && child.log());
    },
    stop: () => child.stop(),
  };
}
