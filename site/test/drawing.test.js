import assert from "node:assert/strict";
import test from "node:test";
import { toRgba } from "../src/pixels.js";
import { apart, bytes, engine, numbers, reference } from "./help.js";

const LEVELS = 0.01; // mean difference of a picture from Python's

for (const { wish, image, start, latents, x0, picture } of reference.runs) {
  test(`drawn as in Python: ${JSON.stringify(wish)}`, async (t) => {
    const model = await engine();
    const given = { ...wish, prompts: [wish.prompt], image: image && bytes(image) };
    const close = image ? 1e-4 : 1e-5; // the encoder rounds, too
    const begun = await model.start(given.seed, given.image, { ...given, trained: model.manifest.schedule });
    assert.ok(apart(begun, numbers(start)) < close, "the latents to start from");
    let [last, count] = [null, 0];
    for await (const step of model.steps(given)) {
      assert.ok(apart(step.latents, numbers(latents[count])) < 2e-4, `the latents after step ${step.index}`);
      [last, count] = [step, count + 1];
    }
    assert.equal(count, latents.length);
    if (x0) assert.ok(apart(last.x0, numbers(x0)) < 2e-4, "the last x0");
    const [drawn] = await model.autoencoder.decode(last?.latents ?? begun);
    const away = difference(drawn, bytes(picture));
    t.diagnostic(`${away.toFixed(5)} levels from Python's picture`);
    assert.ok(away < LEVELS, `${away} levels`);
  });
}

test("two prompts side by side are drawn as each is alone", async () => {
  const model = await engine();
  const prompts = ["a fox on a blue background", "a dog on a blue background"];
  const settings = { seed: 5, steps: 3 };
  const together = await final(model, { prompts, ...settings });
  for (const [i, prompt] of prompts.entries()) {
    const alone = await final(model, { prompts: [prompt], ...settings });
    assert.ok(apart(together.subarray(i * model.size, (i + 1) * model.size), alone) < 1e-4, prompt);
  }
});

test("the blocks of the U-Net give out what they do in Python", async () => {
  const model = await engine();
  const { prompt, sample, timestep, maps } = reference.levels;
  const found = await model.levels(numbers(sample), 0, timestep, prompt); // sigma 0: seen as it is
  assert.deepEqual(Object.keys(found), Object.keys(maps));
  for (const [name, { shape, values }] of Object.entries(maps)) {
    assert.deepEqual(found[name].dims, shape, name);
    assert.ok(apart(found[name].data, numbers(values)) < 1e-4, name);
  }
});

test("the preview is Python's", async () => {
  const { latents, pixels } = reference.preview;
  assert.ok(apart((await engine()).preview.pixels(numbers(latents)), numbers(pixels)) < 1e-5);
});

test("the preview is a soft likeness of the picture", async () => {
  const model = await engine();
  const latents = numbers(reference.runs[0].latents.at(-1));
  const soft = toRgba(model.preview.pixels(latents), model.autoencoder.size)[0];
  const [flat] = toRgba(new Float32Array(3 * model.autoencoder.size), model.autoencoder.size);
  const picture = bytes(reference.runs[0].picture);
  assert.ok(difference(soft, picture) < difference(flat, picture) / 2);
});

test("what cannot be drawn is refused with a sentence", async () => {
  const model = await engine();
  const refused = (wish, sentence) => assert.rejects(final(model, { prompts: ["a fox"], steps: 2, ...wish }), sentence);
  await refused({ startStep: 1 }, /needs a picture/);
  await refused({ startStep: 3 }, /from 0 \(all steps\) to 2/);
  await refused({ sampler: "ddim" }, /none of lms, euler/);
  await refused({ guidance: NaN }, /must be a number/);
  await refused({ image: new Uint8ClampedArray(16) }, /must be 128 x 128 pixels/);
  await assert.rejects(model.autoencoder.decode(new Float32Array(model.size).fill(NaN)), /no finite numbers/);
});

async function final(model, wish) {
  let last;
  for await (const step of model.steps(wish)) last = step;
  return last.latents;
}

/** Mean difference of a picture (H, W, 4) from Python's (H, W, 3), in levels of 255. */
function difference(rgba, rgb) {
  let sum = 0;
  rgb.forEach((level, i) => (sum += Math.abs(level - rgba[4 * Math.floor(i / 3) + (i % 3)])));
  return sum / rgb.length;
}
