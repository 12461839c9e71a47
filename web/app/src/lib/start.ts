// What every page does first: styles, then the language, then the place to mount.
import "../styles/base.css";
import { startLanguage } from "../i18n/index.svelte.ts";

export async function prepare(): Promise<HTMLElement> {
  await startLanguage();
  const target = document.getElementById("app");
  if (target === null) throw new Error("the page has no #app");
  return target;
}
