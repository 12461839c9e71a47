// Makes the npm package in `dist/`: one ES module, its declarations, and a package.json that points to them.
// Within the workspace the sources are used directly.
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

await build({
  root: here,
  // The worker lies beside the module, wherever that lies.
  base: "./",
  configFile: false,
  logLevel: "warn",
  build: {
    target: "es2023",
    minify: false,
    sourcemap: true,
    lib: { entry: join(here, "src/index.ts"), formats: ["es"], fileName: () => "index.js" },
    outDir: dist,
  },
});
execFileSync("npx", ["tsc", "-p", join(here, "tsconfig.build.json")], { stdio: "inherit" });

const { name, version, description, license } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const manifest = {
  name,
  version,
  description,
  license,
  type: "module",
  sideEffects: false,
  exports: { ".": { types: "./types/index.d.ts", default: "./index.js" } },
};
writeFileSync(join(dist, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(join(here, "README.md"), join(dist, "README.md"));
