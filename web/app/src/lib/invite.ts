// Where an invitation can be sent. Plain links: nothing of these services is loaded, and they learn nothing unless pressed.

export interface SocialLink {
  readonly name: string;
  readonly href: string;
}

export function mailLink(subject: string, body: string): string {
  return `mailto:?subject=${encodeURIComponent(subject)}&body=${encodeURIComponent(body)}`;
}

export function socialLinks(link: string, text: string): SocialLink[] {
  const url = encodeURIComponent(link);
  const words = encodeURIComponent(text);
  return [
    { name: "WhatsApp", href: `https://wa.me/?text=${words}%20${url}` },
    { name: "Telegram", href: `https://t.me/share/url?url=${url}&text=${words}` },
    { name: "X", href: `https://x.com/intent/post?url=${url}&text=${words}` },
    { name: "Facebook", href: `https://www.facebook.com/sharer/sharer.php?u=${url}` },
    { name: "LinkedIn", href: `https://www.linkedin.com/sharing/share-offsite/?url=${url}` },
  ];
}
