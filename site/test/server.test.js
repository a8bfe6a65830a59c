import assert from "node:assert/strict";
import test from "node:test";
import { Client } from "../src/client.js";
import { PLACES } from "../src/places.js";
import { Server } from "../src/server.js";

/** A model that draws as slowly as it is told to, and keeps count. */
class Model {
  manifest = { latents: [1, 1, 1], levels: [], schedule: {} };
  taken = 0;
  autoencoder = { decode: async (latents) => [latents] };

  async *steps({ steps }) {
    for (let index = 0; index < steps; index++) {
      this.taken++;
      yield { index, sigma: 1, latents: Float32Array.of(index), x0: Float32Array.of(index) };
    }
  }

  previews(x0) {
    return [x0];
  }
}

/** A client and the server that answers it, over the model that `load` gives. */
function connected(load) {
  const { port1, port2 } = new MessageChannel();
  class Local extends Server {
    load() {
      return load();
    }
  }
  new Local(port1, "https://example.org/manifest.json");
  PLACES.engine = () => port2;
  const client = new Client("https://example.org/manifest.json");
  return { client, close: () => port1.close() };
}

const wish = (steps) => ({ wish: { prompts: ["a fox"], steps } });

test("a drawing tells each step, and ends with the picture", async () => {
  const { client, close } = connected(async () => new Model());
  const told = [];
  const done = await client.ask("draw", wish(3), { onProgress: ({ index, steps }) => told.push([index, steps]) });
  assert.deepEqual(told, [
    [0, 3],
    [1, 3],
    [2, 3],
  ]);
  assert.deepEqual([done.steps.length, ...done.pictures[0]], [3, 2]);
  close();
});

test("a wish that is overtaken ends between two steps, and one that waits never begins", async () => {
  const model = new Model();
  const { client, close } = connected(async () => model);
  const [first, second] = [new AbortController(), new AbortController()];
  const seen = new Promise((resolve) => {
    client.ask("draw", wish(10_000), { signal: first.signal, onProgress: resolve }).catch(() => {});
  });
  const waiting = client.ask("draw", wish(10_000), { signal: second.signal });
  await seen;
  first.abort();
  second.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  const before = model.taken;
  assert.ok(before < 1000, `${before} steps`);
  assert.equal((await client.ask("draw", wish(2))).steps.length, 2);
  assert.ok(model.taken < before + 100);
  close();
});

test("what fails is told in a sentence, and tried again when it is next asked for", async () => {
  let tries = 0;
  const load = async () => {
    if (++tries === 1) throw new Error("unet.onnx.gz is missing on the server (404): the site is incomplete.");
    if (tries === 2) throw new RangeError("Array buffer allocation failed");
    return new Model();
  };
  const { client, close } = connected(load);
  await assert.rejects(client.ask("draw", wish(1)), /^Error: unet.onnx.gz is missing on the server/);
  await assert.rejects(client.ask("draw", wish(1)), /there is too little memory/);
  assert.equal((await client.ask("draw", wish(1))).steps.length, 1);
  client.end("The drawing program could not be started.");
  await assert.rejects(client.ask("draw", wish(1)), /could not be started/);
  close();
});
