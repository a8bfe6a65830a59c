import assert from "node:assert/strict";
import test from "node:test";
import { schedule, slopeWeights } from "../src/schedule.js";
import { apart, filesFromDisk, reference } from "./help.js";

const trained = (await filesFromDisk()).manifest.schedule;

test("timesteps and sigmas are the package's", () => {
  for (const { steps, timesteps, sigmas } of reference.schedules) {
    const found = schedule(steps, trained);
    assert.ok(apart(found.timesteps, timesteps) < 1e-6, `${steps} steps`);
    // One by one: the last sigmas are small.
    found.sigmas.forEach((sigma, i) => assert.ok(Math.abs(sigma - sigmas[i]) <= 1e-6 * sigmas[i], `${steps} steps, sigma ${i}`));
  }
});

test("the weights of the slopes are the package's", () => {
  for (const { steps, sigmas, weights } of reference.schedules) {
    const last = slopeWeights(sigmas, steps - 1, weights.last.length);
    assert.ok(apart(last, weights.last) < 1e-6, `${steps} steps, the last`);
    assert.ok(apart(slopeWeights(sigmas, Math.floor(steps / 2), 1), weights.middle) < 1e-9, `${steps} steps, in the middle`);
  }
});

test("a number of steps that cannot be is refused with a sentence", () => {
  for (const steps of [0, 1.5, -3, 1001, NaN])
    assert.throws(() => schedule(steps, trained), /must be a whole number from 1 to 1000/);
});
