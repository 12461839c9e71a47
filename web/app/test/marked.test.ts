import { expect, test } from "vitest";
import { marked } from "../src/lib/marked.ts";

const shown = (text: string): string =>
  marked(text)
    .map((part) => (part.code ? `<${part.text}>` : part.text))
    .join("");

test.each([
  ["plain", "plain"],
  ["", ""],
  ["make a key with `tandem key create`, then", "make a key with <tandem key create>, then"],
  ["`a` or `b`", "<a> or <b>"],
  ["one ` alone", "one ` alone"],
  ["`` empty", "`` empty"],
  ["`<b>`", "<<b>>"],
])("%s", (text, wanted) => expect(shown(text)).toBe(wanted));
