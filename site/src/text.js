/** Prompts: words to tokens to rows to embeddings, and which words the model has never seen. */

/** The rows of the token table that were trained; every other row is zero and does not travel. */
export class TokenRows {
  /**
   * @param {Uint8Array} file ids (int32), then as many rows (float32)
   * @param {number} width numbers in a row
   */
  constructor(file, width) {
    const count = file.byteLength / 4 / (1 + width);
    if (!Number.isInteger(count)) throw new Error("The file of the token table is damaged: load the page again.");
    const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
    this.width = width;
    this.values = new Float32Array(buffer, 4 * count); // (count, width)
    this.places = new Map(Array.from(new Int32Array(buffer, 0, count), (id, place) => [id, place]));
  }

  /** Whether training has ever shown this token to the model. */
  knows(id) {
    return this.places.has(id);
  }

  /** @returns {Float32Array} (width,) */
  row(id) {
    const place = this.places.get(id);
    if (place === undefined) return new Float32Array(this.width);
    return this.values.subarray(place * this.width, (place + 1) * this.width);
  }
}

/** Tokenizer, token rows and transformer. */
export class PromptEncoder {
  /**
   * @param {import("./tokenizer.js").Tokenizer} tokenizer
   * @param {TokenRows} rows
   * @param {(feeds: object) => Promise<object>} run the transformer
   */
  constructor(tokenizer, rows, run) {
    Object.assign(this, { tokenizer, rows, run });
  }

  /**
   * Each word of a prompt, with whether the model knows all of its tokens.
   * @returns {{ word: string, pieces: string[], ids: number[], known: boolean }[]}
   */
  words(prompt) {
    return this.tokenizer.words(prompt).map((word) => ({ ...word, known: word.ids.every((id) => this.rows.knows(id)) }));
  }

  /**
   * The embeddings that steer the U-Net, one for each position, padding included.
   * @param {string[]} prompts n of them
   * @returns {Promise<Float32Array>} (n, positions, width)
   */
  async embed(prompts) {
    return this.encode(prompts.map((prompt) => this.rowsOf(prompt)));
  }

  /**
   * What goes into the transformer, free to be edited: a row of the table for each token of a prompt.
   * @returns {Float32Array} (positions, width)
   */
  rowsOf(prompt) {
    const { ids } = this.tokenizer.encode(prompt);
    const found = new Float32Array(ids.length * this.rows.width);
    ids.forEach((id, i) => found.set(this.rows.row(id), i * this.rows.width));
    return found;
  }

  /**
   * @param {Float32Array[]} rows n of (positions, width), from `rowsOf`
   * @returns {Promise<Float32Array>} (n, positions, width)
   */
  async encode(rows) {
    const shape = [rows.length, this.tokenizer.positions, this.rows.width];
    return (await this.run({ rows: [joined(rows), shape] })).embeds;
  }
}

/** Arrays of one length, one behind the other. */
export function joined(arrays) {
  const out = new Float32Array(arrays.length * arrays[0].length);
  arrays.forEach((array, i) => out.set(array, i * array.length));
  return out;
}
