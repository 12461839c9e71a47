// The words of the client. A catalogue is a typed object: a missing or superfluous key does not compile.
// English comes with the page; every other language is a chunk of its own, fetched before the first paint.
import { readItem, writeItem } from "../lib/storage.ts";
import { en } from "./en.ts";

/** The shape of English with the exact sentences forgotten. */
export type Shape<T> = T extends string
  ? string
  : T extends (...args: infer A) => string
    ? (...args: A) => string
    : { readonly [K in keyof T]: Shape<T[K]> };

export type Catalogue = Shape<typeof en>;
export type Language = "en" | "de";

export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "de", name: "Deutsch" },
];

const loaders: Record<Language, () => Promise<Catalogue>> = {
  en: () => Promise.resolve(en),
  de: async () => (await import("./de.ts")).de,
};

let current = $state.raw<{ language: Language; words: Catalogue }>({ language: "en", words: en });

/** The catalogue in use; reactive. */
export function words(): Catalogue {
  return current.words;
}

/** The language in use; reactive. */
export function language(): Language {
  return current.language;
}

/** Loads the language chosen earlier, or the first of the browser's that there is. Call before mounting. */
export async function startLanguage(): Promise<void> {
  await useLanguage(chosenLanguage() ?? browserLanguage(navigator.languages));
}

/** Switches and remembers. */
export async function chooseLanguage(code: Language): Promise<void> {
  writeItem("tandem.language", code);
  await useLanguage(code);
}

export function browserLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const code = parseLanguage(tag.toLowerCase().split("-")[0] ?? "");
    if (code !== null) return code;
  }
  return "en";
}

async function useLanguage(code: Language): Promise<void> {
  current = { language: code, words: await loaders[code]() };
  document.documentElement.lang = code;
}

function chosenLanguage(): Language | null {
  return parseLanguage(readItem("tandem.language"));
}

function parseLanguage(text: string | null): Language | null {
  return LANGUAGES.find(({ code }) => code === text)?.code ?? null;
}
