// A page's HTML file says what is its own (title, description, script); what all pages share stands in `frame.html`.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Plugin } from "vite";

const SLOT = "<!-- page -->";

export function framePages(): Plugin {
  const frame = readFileSync(resolve(import.meta.dirname, "frame.html"), "utf8");
  if (!frame.includes(SLOT)) throw new Error(`expected ${SLOT} in frame.html`);
  return {
    name: "tandem:frame",
    transformIndexHtml: { order: "pre", handler: (page) => frame.replace(SLOT, () => page.trim()) },
  };
}
