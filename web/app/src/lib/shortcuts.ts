// One key, one act; never while someone is typing, and never with a modifier, which belongs to the browser.

export const KEYS = {
  m: "microphone",
  v: "camera",
  s: "share",
  c: "chat",
  p: "people",
  l: "layout",
  i: "invite",
  q: "stats",
  f: "fullscreen",
  "?": "help",
} as const;

export type ShortcutName = (typeof KEYS)[keyof typeof KEYS];

/** What a key press asks for; `null` when it belongs to something else. */
export function shortcutOf(event: KeyboardEvent): ShortcutName | null {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return null;
  if (isTyping(event.target)) return null;
  const key = event.key.toLowerCase();
  return key in KEYS ? KEYS[key as keyof typeof KEYS] : null;
}

/** Keys belong to what is being written. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.closest("input, textarea, select, dialog[open]") !== null;
}
