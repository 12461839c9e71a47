// WHIP and WHEP in a real browser, by fetch alone: what one page publishes another plays, over UDP and over TCP.
// At this address, as no other is let out of the browser over TCP (`src/chromium.ts`).
import type { Page } from "@playwright/test";
import { expect, test } from "../src/fixtures.ts";

/** What both ways have in common: one POST of an offer, one answer. */
const CONNECT = `
  window.connect = async (path, pc, only) => {
    await pc.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const reply = await fetch(path, { method: "POST", headers, body: pc.localDescription.sdp });
    const sdp = await reply.text();
    if (reply.status !== 201) throw new Error(reply.status + " " + sdp);
    const kept = sdp.split("\\r\\n").filter((line) => !line.startsWith("a=candidate") || line.split(" ")[2] === only);
    await pc.setRemoteDescription({ type: "answer", sdp: kept.join("\\r\\n") });
    window.pc = pc;
    return reply.headers.get("location");
  };`;

async function publish(page: Page, room: string, only: string): Promise<string> {
  await page.evaluate(CONNECT);
  return page.evaluate(
    `(async () => {
      const pc = new RTCPeerConnection();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
      for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly" });
      return connect("/whip/${room}", pc, "${only}");
    })()`,
  );
}

async function watch(page: Page, room: string, only: string): Promise<string> {
  await page.evaluate(CONNECT);
  return page.evaluate(
    `(async () => {
      const pc = new RTCPeerConnection();
      for (const kind of ["audio", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
      return connect("/whep/${room}", pc, "${only}");
    })()`,
  );
}

/** Frames decoded and packets of sound so far. */
async function got(page: Page): Promise<{ frames: number; sounds: number; protocol: string }> {
  return page.evaluate(`(async () => {
    const all = [...(await pc.getStats()).values()];
    const of = (kind) => all.find((one) => one.type === "inbound-rtp" && one.kind === kind);
    const pair = all.find((one) => one.type === "candidate-pair" && one.nominated);
    const local = all.find((one) => one.id === pair?.localCandidateId);
    return { frames: of("video")?.framesDecoded ?? 0, sounds: of("audio")?.packetsReceived ?? 0, protocol: local?.protocol ?? "" };
  })()`);
}

test.use({ settings: { TANDEM_MEDIA_ADDRESSES: "127.0.0.1" } });

for (const only of ["udp", "tcp"]) {
  test(`a page publishes by WHIP and another plays it by WHEP, over ${only}`, async ({ server, browser, room }) => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const [camera, screen] = [await context.newPage(), await context.newPage()];
    await camera.goto(`${server.origin}/help`);
    await screen.goto(`${server.origin}/help`);
    const session = await publish(camera, room, only);
    await watch(screen, room, only);
    await expect.poll(async () => (await got(screen)).frames).toBeGreaterThan(20);
    const { sounds, protocol } = await got(screen);
    expect(sounds).toBeGreaterThan(20);
    expect(protocol).toBe(only);
    // The publisher says good-bye: nothing comes any more.
    const gone = await camera.evaluate(async (path) => (await fetch(path, { method: "DELETE" })).status, session);
    expect(gone).toBe(200);
    const before = (await got(screen)).frames;
    await screen.waitForTimeout(1_000);
    expect((await got(screen)).frames - before).toBeLessThan(5);
    await context.close();
  });
}
