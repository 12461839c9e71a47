// One build, several pages. What is under `dev/` is served by `npm run dev` only and never built.
import { resolve } from "node:path";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { brotliSiblings } from "./build/brotli.ts";
import { framePages } from "./build/frame.ts";
import { preloadFont } from "./build/preload-font.ts";

const here = import.meta.dirname;
const pages = ["index", "room", "call", "help", "api", "relay", "404"];

export default defineConfig({
  root: here,
  base: "/",
  plugins: [framePages(), svelte(), preloadFont(/inter-latin-wght-normal.*\.woff2$/), brotliSiblings()],
  worker: { format: "es" },
  server: {
    // A page of the development server talks to a Tandem on its usual port, or to the one named.
    proxy: { "/api": { target: process.env.TANDEM_URL ?? "https://localhost:8443", secure: false, ws: true } },
  },
  build: {
    outDir: resolve(here, "../dist"),
    emptyOutDir: true,
    target: "es2023",
    // The content security policy allows no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: Object.fromEntries(pages.map((page) => [page, resolve(here, `${page}.html`)])),
    },
  },
});
