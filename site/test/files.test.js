import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { cached, Files } from "../src/files.js";
import { whatFailed } from "../src/networks.js";
import { missing } from "../src/support.js";

const BASE = new URL("https://example.org/below/models/");
const CONTENT = new Uint8Array(5000).map((_, i) => i % 7);
const PACKED = gzipSync(CONTENT);
const MANIFEST = {
  format: 1,
  files: { rows: { name: "rows-0123456789.bin.gz", bytes: PACKED.length, unpacked: CONTENT.length } },
};

/** A server that has these files below BASE, and counts what it was asked for. */
function serve(files) {
  const asked = [];
  globalThis.fetch = async (address) => {
    const name = address.href.slice(BASE.href.length);
    asked.push(name);
    if (files[name] instanceof Error) throw files[name];
    return name in files ? new Response(files[name]) : new Response("", { status: 404 });
  };
  return asked;
}

/** The browser's cache. */
function remember() {
  const kept = new Map();
  globalThis.caches = {
    open: async () => ({
      match: async ({ href }) => kept.get(href)?.clone(),
      put: async ({ href }, response) => void kept.set(href, response),
      delete: async (address) => kept.delete(address.href ?? address),
      keys: async () => [...kept.keys()].map((url) => ({ url })),
    }),
  };
  return kept;
}

const site = { "manifest.json": JSON.stringify(MANIFEST), "rows-0123456789.bin.gz": PACKED };

test("a file is unpacked, told as it comes, and then taken from the cache", async () => {
  const [asked, kept, told] = [serve(site), remember(), []];
  const files = await Files.open(new URL("manifest.json", BASE), (done, total) => told.push([done, total]));
  files.expect(["rows"]);
  assert.equal(await cached(files, ["rows"]), false);
  assert.deepEqual(await files.read("rows"), CONTENT);
  assert.deepEqual(told.at(-1), [PACKED.length, PACKED.length]);
  assert.equal(await cached(files, ["rows"]), true);
  assert.deepEqual(await files.read("rows"), CONTENT);
  assert.deepEqual(asked, ["manifest.json", "rows-0123456789.bin.gz"]);
  kept.set(new URL("rows-old.bin.gz", BASE).href, new Response(""));
  kept.set("https://example.org/other/file", new Response(""));
  await files.tidy();
  assert.deepEqual([...kept.keys()].map((url) => url.split("/").pop()).sort(), ["file", "rows-0123456789.bin.gz"]);
});

test("without a cache, and from a server that unpacks on the way, it works all the same", async () => {
  delete globalThis.caches;
  serve({ ...site, "rows-0123456789.bin.gz": CONTENT });
  assert.deepEqual(await (await Files.open(new URL("manifest.json", BASE))).read("rows"), CONTENT);
});

test("what is missing, cut off, damaged or of another format is told in a sentence", async () => {
  const kept = remember();
  const told = async (files, sentence) => {
    serve({ ...site, ...files });
    await assert.rejects(async () => (await Files.open(new URL("manifest.json", BASE))).read("rows"), sentence);
    assert.equal(kept.size, 0, "nothing bad is kept");
  };
  await told({ "manifest.json": new Error("offline") }, /^Error: manifest.json could not be loaded: see whether you are online/);
  await told({ "manifest.json": "{}" }, /is not the manifest that this page needs/);
  await told({ "manifest.json": "<html>" }, /is not the manifest that this page needs/);
  await told({ "rows-0123456789.bin.gz": PACKED.subarray(0, 20) }, /rows-0123456789.bin.gz arrived damaged or not whole/);
  await told({ "rows-0123456789.bin.gz": "<html>not found</html>" }, /arrived damaged/);
  await told({ "rows-0123456789.bin.gz": new Error("offline") }, /rows-0123456789.bin.gz could not be loaded/);
  serve({ "manifest.json": site["manifest.json"] });
  await assert.rejects(
    async () => (await Files.open(new URL("manifest.json", BASE))).read("rows"),
    /rows-0123456789.bin.gz is missing on the server \(404\)/,
  );
});

test("an old browser and too little memory are told in a sentence", () => {
  assert.equal(missing(globalThis.Worker ? globalThis : { ...named(), Worker: class {} }), "");
  assert.match(
    missing({ ...named(), Worker: class {}, DecompressionStream: undefined }),
    /too old to draw here: it lacks unpacking of files\. Chrome/,
  );
  assert.match(missing({}), /lacks WebAssembly and background threads and unpacking of files/);
  assert.match(
    whatFailed("It stopped", new RangeError("Array buffer allocation failed")),
    /^It stopped: there is too little memory/,
  );
  assert.match(whatFailed("It stopped", new Error("failed to allocate a buffer of 4096")), /too little memory/);
  assert.equal(whatFailed("It stopped", new Error("a shape is wrong")), "It stopped: a shape is wrong");
});

function named() {
  const { WebAssembly, DecompressionStream } = globalThis;
  return { WebAssembly, DecompressionStream };
}
