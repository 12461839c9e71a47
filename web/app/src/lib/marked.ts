// The one mark that our own reference texts use: `code` between backticks.

export interface Part {
  readonly text: string;
  readonly code: boolean;
}

/** A backtick without its partner stays what it is. */
export function marked(text: string): Part[] {
  const parts: Part[] = [];
  let rest = 0;
  for (const { 0: whole, 1: code = "", index } of text.matchAll(/`([^`]+)`/g)) {
    if (index > rest) parts.push({ text: text.slice(rest, index), code: false });
    parts.push({ text: code, code: true });
    rest = index + whole.length;
  }
  if (rest < text.length) parts.push({ text: text.slice(rest), code: false });
  return parts;
}
