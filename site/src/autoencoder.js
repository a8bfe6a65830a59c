/** Between pictures and latents. */

import { fromRgba, toRgba } from "./pixels.js";

export class Autoencoder {
  /**
   * @param {import("./networks.js").Networks} networks
   * @param {{ latents: number[], picture: number[], scaling_factor: number }} manifest
   */
  constructor(networks, { latents, picture, scaling_factor }) {
    Object.assign(this, { networks, shape: latents, picture, factor: scaling_factor });
    this.size = picture[1] * picture[2];
  }

  /**
   * @param {Float32Array} latents (n, 4, h, w), scaled
   * @returns {Promise<Float32Array>} (n, 3, H, W) in about [-1, 1]
   */
  async pixels(latents) {
    const n = latents.length / this.shape.reduce((product, side) => product * side);
    return (await this.networks.run("decoder", { latents: [latents, [n, ...this.shape]] })).pixels;
  }

  /** @returns {Promise<Uint8ClampedArray[]>} n of (H, W, 4) */
  async decode(latents) {
    const pixels = await this.pixels(latents);
    if (!pixels.every(Number.isFinite)) {
      throw new Error("The latents hold values that are no finite numbers: the guidance scale was too strong.");
    }
    return toRgba(pixels, this.size);
  }

  /**
   * A sample of the latents of a picture, as Python's `distribution.sample(generator)` draws it.
   * @param {Uint8ClampedArray} rgba (H, W, 4)
   * @param {import("./noise.js").Generator} generator
   * @returns {Promise<Float32Array>} (4, h, w), scaled
   */
  async encode(rgba, generator) {
    if (rgba.length !== 4 * this.size) {
      throw new Error(`The picture must be ${this.picture[2]} x ${this.picture[1]} pixels.`);
    }
    const pixels = fromRgba(rgba, this.size);
    const { mean, deviation } = await this.networks.run("encoder", { pixels: [pixels, [1, ...this.picture]] });
    const noise = generator.randn(mean.length);
    return mean.map((value, i) => Math.fround(value + deviation[i] * noise[i]) * this.factor);
  }
}
