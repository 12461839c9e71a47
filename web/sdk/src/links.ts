// Ways to hand a link to somebody. No third party learns of the call before a person clicks.

export type ShareTarget = "mail" | "sms" | "whatsapp" | "telegram" | "x" | "facebook" | "linkedin";

export interface Invitation {
  url: string;
  /** A sentence to go with it, and for mail the subject. */
  text: string;
  subject?: string;
}

/** Address to open for a target. */
export function shareLink(target: ShareTarget, { url, text, subject = text }: Invitation): string {
  const both = `${text} ${url}`;
  switch (target) {
    case "mail":
      return `mailto:?${query({ subject, body: `${text}\r\n\r\n${url}` })}`;
    case "sms":
      return `sms:?${query({ body: both })}`;
    case "whatsapp":
      return `https://wa.me/?${query({ text: both })}`;
    case "telegram":
      return `https://t.me/share/url?${query({ url, text })}`;
    case "x":
      return `https://x.com/intent/post?${query({ url, text })}`;
    case "facebook":
      return `https://www.facebook.com/sharer/sharer.php?${query({ u: url })}`;
    case "linkedin":
      return `https://www.linkedin.com/sharing/share-offsite/?${query({ url })}`;
  }
}

/** Whether the system has a share sheet of its own. */
export function canShareNatively(): boolean {
  return typeof navigator !== "undefined" && typeof navigator.share === "function";
}

/** Opens the system's share sheet. Resolves to `false` when the person closed it without sharing. */
export async function shareNatively({ url, text, subject = text }: Invitation): Promise<boolean> {
  try {
    await navigator.share({ url, text, title: subject });
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return false;
    throw error;
  }
}

export function copyLink(url: string): Promise<void> {
  return navigator.clipboard.writeText(url);
}

/** `URLSearchParams` writes a space as `+`, which mail and message programs show as a plus. */
function query(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
}
