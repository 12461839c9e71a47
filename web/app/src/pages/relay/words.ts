// The page's words, in the language in use.
import { language, type Shape } from "../../i18n/index.svelte.ts";
import { relay as german } from "../../i18n/relay.de.ts";
import { relay as english } from "../../i18n/relay.en.ts";

/** Reactive. */
export function relayWords(): Shape<typeof english> {
  return { en: english, de: german }[language()];
}
