/** What the tests share: Python's numbers, and the model from the disk. */

import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import * as ort from "onnxruntime-web";
import { EmojiSD } from "../src/emoji_sd.js";

const read = (path) =>
  readFile(new URL(path, import.meta.url)).catch(() => {
    throw new Error(`site/test/${path} is not there: run \`make test-site\`, which makes it.`);
  });

/** What site/reference.py wrote. */
export const reference = JSON.parse(await read("reference.json"));

/** The files of site/dist/models, as site/src/files.js would give them. */
export async function filesFromDisk() {
  const manifest = JSON.parse(await read("../dist/models/manifest.json"));
  return { manifest, read: async (key) => new Uint8Array(gunzipSync(await read(`../dist/models/${manifest.files[key].name}`))) };
}

let model;
/** The engine, opened once. */
export function engine() {
  model ??= filesFromDisk().then((files) => EmojiSD.load(ort, files));
  return model;
}

/** @returns {Float32Array} */
export function numbers(text) {
  return new Float32Array(bytes(text).buffer);
}

/** @returns {Uint8Array} */
export function bytes(text) {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

/** The largest difference, as a share of the second's largest value. */
export function apart(one, other) {
  if (one.length !== other.length) throw new Error(`${one.length} numbers against ${other.length}`);
  let [most, largest] = [0, 1e-12];
  one.forEach((value, i) => {
    most = Math.max(most, Math.abs(value - other[i]));
    largest = Math.max(largest, Math.abs(other[i]));
  });
  return most / largest;
}
