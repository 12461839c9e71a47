// Names the text font in the page's head, so that it arrives with the style sheet and not after it.
import type { HtmlTagDescriptor, Plugin } from "vite";

export function preloadFont(wanted: RegExp): Plugin {
  return {
    name: "tandem:preload-font",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(_html, context): HtmlTagDescriptor[] {
        const file = Object.keys(context.bundle ?? {}).find((name) => wanted.test(name));
        if (file === undefined) return [];
        const attrs = { rel: "preload", as: "font", type: "font/woff2", crossorigin: "", href: `/${file}` };
        return [{ tag: "link", attrs, injectTo: "head" }];
      },
    },
  };
}
