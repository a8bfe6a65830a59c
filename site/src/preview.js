/** A decoder of one matrix, for the film: it takes no time, and shows x0 softly. */

const NEAR = 9; // a latent and its eight neighbours

export class Preview {
  /**
   * @param {Uint8Array} file the matrix (9 * channels + 1, 3 * factor * factor), float32
   * @param {number[]} latents [channels, h, w]
   * @param {number[]} picture [3, H, W]
   */
  constructor(file, [channels, height, width], [, pixelHeight, pixelWidth]) {
    this.factor = pixelHeight / height;
    Object.assign(this, { channels, height, width, pixelHeight, pixelWidth });
    this.columns = 3 * this.factor ** 2;
    this.matrix = new Float32Array(file.slice().buffer);
    if (this.matrix.length !== (NEAR * channels + 1) * this.columns) {
      throw new Error("The file of the preview does not fit the model: load the page again.");
    }
  }

  /**
   * @param {Float32Array} latents (4, h, w) of one picture
   * @returns {Float32Array} (3, H, W) in [-1, 1], or a little outside
   */
  pixels(latents) {
    const pixels = new Float32Array(3 * this.pixelHeight * this.pixelWidth);
    const near = new Float32Array(NEAR * this.channels + 1).fill(1);
    const block = new Float32Array(this.columns);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        this.look(latents, y, x, near);
        block.fill(0);
        near.forEach((value, row) => {
          for (let i = 0; i < block.length; i++) block[i] += value * this.matrix[row * this.columns + i];
        });
        this.put(block, y, x, pixels);
      }
    }
    return pixels;
  }

  /** Nine places by `channels` numbers; past the edge, the edge again. */
  look(latents, y, x, near) {
    const inside = (place, size) => Math.max(0, Math.min(size - 1, place));
    for (let i = 0; i < NEAR; i++) {
      const place = inside(y + Math.floor(i / 3) - 1, this.height) * this.width + inside(x + (i % 3) - 1, this.width);
      for (let c = 0; c < this.channels; c++) near[i * this.channels + c] = latents[c * this.height * this.width + place];
    }
  }

  put(block, y, x, pixels) {
    const side = this.factor;
    for (let i = 0; i < block.length; i++) {
      const channel = Math.floor(i / side ** 2);
      const row = y * side + (Math.floor(i / side) % side);
      pixels[(channel * this.pixelHeight + row) * this.pixelWidth + x * side + (i % side)] = block[i];
    }
  }
}
