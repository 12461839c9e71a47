import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { fromHex, Sha256, sha256, toHex } from "../src/sha256";

test.each([
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  [
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  ],
])("the vector of FIPS 180-4 for %j", (text, digest) => {
  expect(toHex(sha256(new TextEncoder().encode(text)))).toBe(digest);
});

test("every length around the padding, in every way of cutting it, gives what another implementation gives", () => {
  for (let length = 0; length <= 200; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff);
    const cut = (length * 31) % (length + 1);
    const ours = new Sha256().update(bytes.subarray(0, cut)).update(bytes.subarray(cut)).digest();
    expect(toHex(ours)).toBe(createHash("sha256").update(bytes).digest("hex"));
  }
});

test("a million bytes in pieces", () => {
  const bytes = new Uint8Array(1_000_000).fill(0x61);
  const hash = new Sha256();
  for (let at = 0; at < bytes.length; at += 16_380) hash.update(bytes.subarray(at, at + 16_380));
  expect(toHex(hash.digest())).toBe("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
});

test("hexadecimal is read exactly or not at all", () => {
  expect(fromHex("00ff", 2)).toEqual(Uint8Array.of(0, 255));
  for (const wrong of ["00f", "00FF", "00fg", "00ff00", 7, null]) expect(fromHex(wrong, 2)).toBeNull();
});
