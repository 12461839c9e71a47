// Which browser, and with which flags: fake devices that are granted without asking, and no way out of this machine.
import type { LaunchOptions } from "@playwright/test";

export const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

const flags = [
  "--no-sandbox",
  // Few frames: several browsers share the cores of one machine.
  "--use-fake-device-for-media-stream=fps=10",
  "--use-fake-ui-for-media-stream",
  "--auto-select-desktop-capture-source=Entire screen",
  "--autoplay-policy=no-user-gesture-required",
  "--allow-loopback-in-peer-connection",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  // TURN over TLS has no other way to accept the certificate the server made for itself.
  "--ignore-certificate-errors",
  // WebRTC asks for `localhost.`, with the dot. A page that asks anybody else fails, and the guard of `fixtures.ts` reports it.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE localhost., EXCLUDE 127.0.0.1",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
];

export function launch(extra: readonly string[] = []): LaunchOptions {
  return { executablePath, headless: true, args: [...flags, ...extra] };
}
