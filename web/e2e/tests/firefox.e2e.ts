// The other engine: our pages and our SDK in Firefox, in a call with Chromium.
import { Firefox } from "../src/firefox.ts";
import { expect, test } from "../src/fixtures.ts";
import { sees } from "../src/pictures.ts";

const VIDEO = `document.querySelector('[data-testid="remote-video"]')`;
const WORDS = `[...document.querySelectorAll('[data-testid="sas"] .word')].map((word) => word.textContent)`;

test("Firefox and Chromium see and hear each other, read the same words, write, and leave", async ({
  person,
  room,
  server,
}) => {
  test.slow();
  const ann = await person("Ann");
  await ann.enters(room);
  const ben = await Firefox.start();
  try {
    await ben.enters(`${server.origin}/r/${room}`, "Ben");
    await ben.sees(`${VIDEO}?.videoWidth > 0 && ${VIDEO}.currentTime > 1`);
    await ann.hearsAndSees("Ben");

    await ben.presses("safety-words");
    await ben.sees(`${WORDS}.length === 4`);
    expect(await ben.value(WORDS)).toEqual(await ann.safetyWords());
    await ben.presses("safety-words");

    await ann.opensChat();
    await ben.presses("chat");
    await ben.writes("chat-field", "Hello from the other engine\n");
    await expect(ann.lines).toHaveText([/Hello from the other engine/]);
    await ann.writes("And back");
    await ben.sees(`document.body.innerText.includes("And back")`);

    await ben.presses("leave");
    await ben.sees(`document.querySelector('[data-testid="end-page"]')?.dataset.reason === "left"`);
    await expect(ann.tile("Ben")).toHaveCount(0);
  } finally {
    await ben.close();
  }
});

test("Firefox in a call of three: through the server it sees both, and both see it", async ({
  person,
  room,
  server,
}) => {
  test.slow();
  const ann = await person("Ann");
  const cora = await person("Cora");
  await ann.enters(room);
  await cora.enters(room);
  const ben = await Firefox.start();
  try {
    await ben.enters(`${server.origin}/r/${room}`, "Ben");
    const moving = `[...document.querySelectorAll('[data-testid="remote-video"]')].filter((video) => video.videoWidth > 0 && video.currentTime > 2)`;
    await ben.sees(`${moving}.length === 2`);
    await sees(ann.page, 2);
    await sees(cora.page, 2);
    await ann.hearsAndSees("Ben", "Cora");
  } finally {
    await ben.close();
  }
});
