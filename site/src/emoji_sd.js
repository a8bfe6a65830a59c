/** emoji-sd: the parts put together, from a prompt to a picture. */

import { Autoencoder } from "./autoencoder.js";
import { atUnitSize, denoise, guided, startingLatents } from "./loop.js";
import { Networks } from "./networks.js";
import { Generator } from "./noise.js";
import { Preview } from "./preview.js";
import { toRgba } from "./pixels.js";
import { joined, PromptEncoder, TokenRows } from "./text.js";
import { Tokenizer } from "./tokenizer.js";

/** What has to be there before anything can be drawn; the encoder comes when a picture is given. */
export const NEEDED = ["merges", "rows", "preview", "text_encoder", "unet", "decoder"];

export class EmojiSD {
  /**
   * @param {object} ort onnxruntime-web
   * @param {{ manifest: object, read: (key: string) => Promise<Uint8Array> }} files
   * @param {{ threads?: number }} [options]
   */
  static async load(ort, files, { threads = 1 } = {}) {
    const { manifest } = files;
    const { prediction_type, beta_schedule } = manifest.schedule;
    if (prediction_type !== "epsilon" || beta_schedule !== "scaled_linear") {
      throw new Error(
        `This page draws with models that predict noise over scaled linear betas, not ${prediction_type} over ${beta_schedule}.`,
      );
    }
    const networks = new Networks(ort, files, threads);
    const [merges, rows, matrix] = await Promise.all(["merges", "rows", "preview"].map((key) => files.read(key)));
    await Promise.all(["text_encoder", "unet", "decoder"].map((name) => networks.open(name)));
    return new EmojiSD(manifest, networks, merges, rows, matrix);
  }

  constructor(manifest, networks, merges, rows, matrix) {
    Object.assign(this, { manifest, networks });
    this.size = manifest.latents.reduce((product, side) => product * side);
    const tokenizer = new Tokenizer(new TextDecoder().decode(merges), manifest.positions);
    this.text = new PromptEncoder(tokenizer, new TokenRows(rows, manifest.width), (feeds) => networks.run("text_encoder", feeds));
    this.autoencoder = new Autoencoder(networks, manifest);
    this.preview = new Preview(matrix, manifest.latents, manifest.picture);
  }

  /**
   * Draw pictures of prompts, all from one seed, step by step.
   * @param {object} wish
   * @param {string[]} wish.prompts n of them
   * @param {string} [wish.negative] what to lead away from
   * @param {number} [wish.seed]
   * @param {number} [wish.steps] of the whole schedule
   * @param {number} [wish.guidance] how strongly to follow the prompt; 1 or less is off
   * @param {"lms" | "euler"} [wish.sampler]
   * @param {Uint8ClampedArray | null} [wish.image] (H, W, 4), where to start from
   * @param {number} [wish.startStep] how many steps to leave out, with an image
   * @yields {import("./loop.js").Step} of n pictures
   */
  async *steps({ prompts, negative = "", seed = 0, steps = 20, guidance = 5, sampler = "lms", image = null, startStep = 0 }) {
    const settings = { steps, startStep, sampler, trained: this.manifest.schedule };
    const start = await this.start(seed, image, settings);
    const latents = joined(prompts.map(() => start));
    yield* denoise(await this.predictor(prompts, negative, guidance), latents, settings);
  }

  /** The latents that one picture starts from, (4, h, w). */
  async start(seed, image, settings) {
    const generator = new Generator(seed);
    // In this order: first the sample of the picture's latents, then the noise.
    const kept = image && (await this.autoencoder.encode(image, generator));
    return startingLatents(generator.randn(this.size), kept, settings);
  }

  /** The guided noise prediction for n prompts, as the loop wants it. */
  async predictor(prompts, negative, guidance) {
    if (!Number.isFinite(guidance)) throw new RangeError(`guidance=${guidance} must be a number; 1 is off, 5 usual.`);
    const off = guidance <= 1;
    const context = await this.text.embed(off ? prompts : [...prompts.map(() => negative), ...prompts]);
    return async (seen, timestep) => {
      const { noise } = await this.unet(off ? seen : joined([seen, seen]), timestep, context, ["noise"]);
      if (off) return { noise, without: noise };
      const [without, withPrompt] = [noise.slice(0, seen.length), noise.slice(seen.length)];
      return { noise: guided(without, withPrompt, guidance), without };
    };
  }

  /** @returns {Promise<Record<string, Float32Array>>} the outputs that were asked for */
  async unet(sample, timestep, context, outputs) {
    const shaped = await this.unetShaped(sample, timestep, context, outputs);
    return Object.fromEntries(Object.entries(shaped).map(([name, { data }]) => [name, data]));
  }

  unetShaped(sample, timestep, context, outputs) {
    const { latents, positions, width } = this.manifest;
    const n = sample.length / this.size;
    const feeds = {
      sample: [sample, [n, ...latents]],
      timestep: [Float32Array.of(timestep), [1]],
      context: [context, [n, positions, width]],
    };
    return this.networks.runShaped("unet", feeds, outputs);
  }

  /**
   * What each block of the U-Net gives out at a step, for one picture and its prompt.
   * @param {Float32Array} latents (4, h, w), those before the step
   * @returns {Promise<Record<string, { data: Float32Array, dims: number[] }>>} (1, C, h', w') each
   */
  async levels(latents, sigma, timestep, prompt) {
    const context = await this.text.embed([prompt]);
    const found = await this.unetShaped(atUnitSize(latents, sigma), timestep, context, this.manifest.levels);
    return Object.fromEntries(Object.entries(found).map(([name, { data, dims }]) => [name, { data, dims: [...dims] }]));
  }

  /** @returns {Uint8ClampedArray[]} a soft picture, (H, W, 4), of each of n latents, at once */
  previews(latents) {
    const each = Array.from({ length: latents.length / this.size }, (_, i) =>
      latents.subarray(i * this.size, (i + 1) * this.size),
    );
    return each.flatMap((one) => toRgba(this.preview.pixels(one), this.autoencoder.size));
  }
}
