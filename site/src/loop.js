/** The denoising loop. There is one: everything that draws calls `denoise`. */

import { SAMPLERS, schedule, slopeWeights } from "./schedule.js";

/**
 * One step. latents = x0 + sigma * noise holds for the latents before it.
 * @typedef {object} Step
 * @property {number} index in the schedule, counted from 0 whatever the start step
 * @property {number} timestep 999 (all noise) to 0
 * @property {number} sigma ratio of noise to signal before the step
 * @property {Float32Array} before (n * 4 * h * w,), the latents before the step
 * @property {Float32Array} latents (n * 4 * h * w,), those the step reached
 * @property {Float32Array} noise (n * 4 * h * w,), the noise prediction after guidance
 * @property {Float32Array} without the same without the prompt; equal to `noise` where guidance is off
 * @property {Float32Array} x0 (n * 4 * h * w,), the clean latents that the noise prediction implies
 */

/**
 * Denoise latents step by step.
 * @param {(seen: Float32Array, timestep: number) => Promise<{ noise: Float32Array, without: Float32Array }>} predict
 *   the guided noise of latents of unit size
 * @param {Float32Array} latents (n * 4 * h * w,), from `startingLatents`
 * @param {{ steps: number, startStep?: number, sampler?: "lms" | "euler", trained: object }} settings
 * @yields {Step}
 */
export async function* denoise(predict, latents, { steps, startStep = 0, sampler = "lms", trained }) {
  const { timesteps, sigmas } = schedule(steps, trained);
  const most = SAMPLERS[sampler];
  if (!most) throw new RangeError(`sampler=${sampler} is none of ${Object.keys(SAMPLERS).join(", ")}.`);
  let slopes = []; // the newest first; of the exploding form a slope is the noise itself
  for (let index = checkedStart(startStep, steps); index < steps; index++) {
    const [before, sigma, timestep] = [latents, sigmas[index], timesteps[index]];
    const { noise, without } = await predict(atUnitSize(before, sigma), timestep);
    const x0 = before.map((value, i) => value - sigma * noise[i]);
    slopes = [noise, ...slopes].slice(0, most);
    const weights = slopeWeights(sigmas, index, slopes.length);
    latents = before.map((value, i) => slopes.reduce((sum, slope, k) => sum + weights[k] * slope[i], value));
    yield { index, timestep, sigma, before, latents, noise, without, x0 };
  }
}

/** Latents as the U-Net sees them. */
export function atUnitSize(latents, sigma) {
  const shrink = 1 / Math.sqrt(sigma * sigma + 1);
  return latents.map((value) => value * shrink);
}

/**
 * Classifier-free guidance (Ho and Salimans 2022): from the prediction without the prompt past the one with it.
 * @param {Float32Array} without
 * @param {Float32Array} withPrompt
 * @param {number} scale 1 is the prompt's own prediction
 */
export function guided(without, withPrompt, scale) {
  return without.map((value, i) => value + scale * (withPrompt[i] - value));
}

/**
 * What the loop starts from: noise alone, or a picture's latents with the noise of the start step.
 * @param {Float32Array} noise (4 * h * w,), of unit variance
 * @param {Float32Array | null} image (4 * h * w,), a picture's latents
 * @param {{ steps: number, startStep?: number, trained: object }} settings
 */
export function startingLatents(noise, image, { steps, startStep = 0, trained }) {
  const { sigmas } = schedule(steps, trained);
  const sigma = sigmas[checkedStart(startStep, steps)]; // 0 past the last step
  if (!image && startStep) throw new RangeError(`startStep=${startStep} needs a picture to start from.`);
  return image ? image.map((value, i) => value + sigma * noise[i]) : noise.map((value) => value * sigma);
}

function checkedStart(startStep, steps) {
  if (!Number.isInteger(startStep) || startStep < 0 || startStep > steps) {
    throw new RangeError(`startStep=${startStep} must be a whole number from 0 (all steps) to ${steps} (none).`);
  }
  return startStep;
}
