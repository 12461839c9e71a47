// Light, dark, or as the system says. `public/theme.js` applies the choice before the first paint.
import { readItem, writeItem } from "./storage.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "tandem.theme";
let chosen = $state<Theme>(parseTheme(readItem(KEY)));

export function theme(): Theme {
  return chosen;
}

export function chooseTheme(next: Theme): void {
  chosen = next;
  writeItem(KEY, next === "system" ? null : next);
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
}

function parseTheme(text: string | null): Theme {
  return text === "light" || text === "dark" ? text : "system";
}
