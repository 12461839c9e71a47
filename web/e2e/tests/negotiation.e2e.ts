// Our descriptions in real browsers: each takes our answers and offers, and we take theirs. No packet flows.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { chromium, expect, test } from "@playwright/test";
import { launch } from "../src/chromium.ts";
import { Firefox } from "../src/firefox.ts";
import { Negotiator } from "../src/negotiator.ts";

/** A browser's page: runs the body of an async function, and has its result. */
interface Page {
  run(body: string): Promise<unknown>;
  close(): Promise<void>;
}

const browsers: Record<string, (url: string) => Promise<Page>> = {
  Chromium: async (url) => {
    const browser = await chromium.launch(launch());
    const page = await browser.newPage();
    await page.goto(url);
    return { run: (body) => page.evaluate(`(async () => { ${body} })()`), close: () => browser.close() };
  },
  Firefox: async (url) => {
    const browser = await Firefox.start();
    await browser.opens(url);
    const run = async (body: string): Promise<unknown> => {
      const settle = `(result) => { window.done = { result } }, (error) => { window.done = { error: String(error) } }`;
      await browser.value(`void (window.done = null, (async () => { ${body} })().then(${settle}))`);
      await browser.sees("window.done");
      const error = await browser.value("window.done.error");
      if (typeof error === "string") throw new Error(error);
      return browser.value("window.done.result");
    };
    return { run, close: () => browser.close() };
  },
};

/** What the pages have in common: tracks that need no device. */
const HELPERS = `
  window.canvas = document.createElement("canvas");
  window.canvas.getContext("2d").fillRect(0, 0, 300, 150);
  window.video = () => window.canvas.captureStream(10).getVideoTracks()[0];
  window.audio = () => new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0];
  window.fresh = (configuration) => {
    window.pc?.close();
    window.pc = new RTCPeerConnection(configuration);
    window.streams = [];
    window.pc.ontrack = ({ track, streams }) => window.streams.push(track.kind + " of " + streams.map((s) => s.id));
  };`;
const OFFER = `await pc.setLocalDescription(); return pc.localDescription.sdp`;
const takes = (type: string, sdp: string): string =>
  `await pc.setRemoteDescription({ type: "${type}", sdp: ${JSON.stringify(sdp)} });`;
const LINES = `return pc.getTransceivers().map((t) => [t.mid, t.receiver.track.kind, t.currentDirection].join(" "))`;

/** The browser offers audio first, which we do not want, then want, and then not any longer. */
async function leavesTheFirstLineIdle(page: Page, ours: Negotiator): Promise<void> {
  const answered = async (change: string, kinds: string): Promise<unknown> => {
    const offer = await page.run(`${change} ${OFFER}`);
    return page.run(`${takes("answer", await ours.answer(String(offer), kinds))} ${LINES}`);
  };
  const begin = `pc.addTrack(audio()); pc.addTrack(video()); pc.createDataChannel("chat");`;
  expect(await answered(begin, "video,application")).toEqual(["0 audio inactive", "1 video sendonly"]);
  expect(await answered("", "")).toEqual(["0 audio sendonly", "1 video sendonly"]);
  // Another line comes meanwhile.
  const more = await answered(`pc.addTransceiver(video(), { direction: "sendonly" });`, "video,application");
  expect(more).toEqual(["0 audio inactive", "1 video sendonly", "3 video sendonly"]);
}

for (const [name, open] of Object.entries(browsers)) {
  test.describe(name, () => {
    let server: Server;
    let page: Page;
    let ours: Negotiator;

    test.beforeAll(async () => {
      server = createServer((_, response) => {
        response.setHeader("content-type", "text/html").end("<!doctype html><title>negotiation</title>");
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      page = await open(`http://localhost:${typeof address === "object" ? (address?.port ?? 0) : 0}/`);
      ours = Negotiator.start();
      await page.run(HELPERS);
    });

    test.afterAll(async () => {
      ours.stop();
      await page.close();
      server.close();
    });

    test.beforeEach(async () => {
      await ours.forget();
      await page.run("window.fresh()");
    });

    /** Our offer, the browser's answer, and what we make of it. */
    const round = async (lines: string): Promise<string[]> => {
      const offer = await ours.offer(lines);
      const answer = await page.run(`${takes("offer", offer)} ${OFFER}`);
      return ours.accept(String(answer));
    };

    test("takes our answer, and sends what we want", async () => {
      const offer = await page.run(`
        pc.addTransceiver(audio(), { direction: "sendonly" });
        const sendEncodings = ["q", "h", "f"].map((rid) => ({ rid }));
        pc.addTransceiver(video(), { direction: "sendonly", sendEncodings });
        pc.createDataChannel("chat");
        ${OFFER}`);
      const answer = await ours.answer(String(offer));
      expect(answer).toContain("a=simulcast:recv q;h;f");
      expect(await page.run(`${takes("answer", answer)} ${LINES}`)).toEqual(["0 audio sendonly", "1 video sendonly"]);
      const encodings = `return pc.getSenders()[1].getParameters().encodings.map((encoding) => encoding.rid)`;
      expect(await page.run(encodings)).toEqual(["q", "h", "f"]);
      expect(await page.run("return pc.sctp.maxMessageSize")).toBe(262_144);

      // The video stops, and another takes its place.
      const stopped = await page.run(`pc.getTransceivers()[1].stop(); ${OFFER}`);
      await page.run(takes("answer", await ours.answer(String(stopped))));
      const another = await page.run(`pc.addTransceiver(video(), { direction: "sendonly" }); ${OFFER}`);
      const lines = await page.run(`${takes("answer", await ours.answer(String(another)))} ${LINES}`);
      expect(lines).toHaveLength(2);
      expect(lines).toEqual(expect.arrayContaining([expect.stringMatching(/^[^1] video sendonly$/)]));
    });

    test("answers our offers, whose lines come and go", async () => {
      expect(await round("audio,video,data")).toEqual([
        "0 audio SendOnly opus 111",
        expect.stringMatching(/^1 video SendOnly VP8 \d+$/),
        "2 data",
      ]);
      expect(await page.run("return streams")).toEqual(["audio of anna", "video of anna"]);
      expect(await round("audio,-,data")).toEqual(["0 audio SendOnly opus 111", "free", "2 data"]);
      expect(await round("audio,audio,data,video")).toEqual([
        "0 audio SendOnly opus 111",
        "3 audio SendOnly opus 111",
        "2 data",
        expect.stringMatching(/^4 video SendOnly VP8 \d+$/),
      ]);
      // The line that all the others share the transport of ends.
      expect((await round("-,audio,data,video")).map((line) => line.split(" ")[0])).toEqual(["free", "3", "2", "4"]);
      expect(await page.run(LINES)).toEqual(["3 audio recvonly", "4 video recvonly"]);
      expect((await round("video,audio,data,video"))[0]).toMatch(/^5 video SendOnly VP8/);
    });

    test("takes a first offer with a line that never began", async () => {
      expect(await round("-,audio")).toEqual(["free", "1 audio SendOnly opus 111"]);
    });

    test("offers first, and answers our offer after it", async () => {
      const offer = await page.run(`pc.addTrack(audio()); ${OFFER}`);
      await page.run(takes("answer", await ours.answer(String(offer))));
      const lines = await round("heard,video");
      expect(lines[0]).toMatch(/^0 audio RecvOnly opus/);
      expect(lines[1]).toMatch(/^1 video SendOnly VP8/);
      expect(await page.run(LINES)).toEqual(["0 audio sendonly", "1 video recvonly"]);
    });

    test("goes on sending its simulcast when we offer another line", async () => {
      const offer = await page.run(`
        pc.addTransceiver(audio(), { direction: "sendonly" });
        const sendEncodings = ["q", "h", "f"].map((rid) => ({ rid }));
        pc.addTransceiver(video(), { direction: "sendonly", sendEncodings });
        ${OFFER}`);
      await page.run(takes("answer", await ours.answer(String(offer))));
      for (const lines of ["heard,seen,video", "heard,seen,video,audio"]) {
        expect((await round(lines))[1]).toMatch(/^1 video RecvOnly VP8 \d+ q h f$/);
        const encodings = `return pc.getSenders()[1].getParameters().encodings.map((encoding) => encoding.rid)`;
        expect(await page.run(encodings)).toEqual(["q", "h", "f"]);
      }
    });

    for (const bundlePolicy of ["balanced", "max-bundle"]) {
      test(`takes an answer that does not want the line whose transport the others share, ${bundlePolicy}`, async () => {
        await page.run(`window.fresh({ bundlePolicy: "${bundlePolicy}" })`);
        await leavesTheFirstLineIdle(page, ours);
        // We may end it in an offer of ours.
        expect(await round("-,seen,data,seen")).toEqual(["free", ...Array<unknown>(3).fill(expect.anything())]);
        expect(await page.run("return pc.signalingState")).toBe("stable");
      });
    }
  });
}
