// Writes a `.br` sibling for every text asset, so that the server sends compressed bytes without compressing.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import type { Plugin } from "vite";

const TEXT = /\.(?:html|js|css|svg|json|txt|webmanifest)$/;
/** Below this a compressed copy saves no packet. */
const WORTHWHILE_BYTES = 512;

export function brotliSiblings(): Plugin {
  let outDir = "";
  return {
    name: "tandem:brotli-siblings",
    apply: "build",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    writeBundle() {
      for (const file of filesBelow(outDir)) {
        if (TEXT.test(file)) writeSibling(file);
      }
    },
  };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

function writeSibling(file: string): void {
  const bytes = readFileSync(file);
  if (bytes.length < WORTHWHILE_BYTES) return;
  const small = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
  if (small.length < bytes.length) writeFileSync(`${file}.br`, small);
}
