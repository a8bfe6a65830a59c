/** The ONNX networks: opened once, run with plain arrays. */

const NO_MEMORY = /memory|alloc|out of bounds|abort/i;

export class Networks {
  /**
   * @param {object} ort onnxruntime-web
   * @param {{ read: (key: string) => Promise<Uint8Array> }} files
   * @param {number} threads
   */
  constructor(ort, files, threads) {
    Object.assign(this, { ort, files });
    this.options = { executionProviders: ["wasm"], intraOpNumThreads: threads, graphOptimizationLevel: "all" };
    this.sessions = new Map();
  }

  /** Open a network if it is not open yet. */
  open(name) {
    if (!this.sessions.has(name)) {
      const opening = this.create(name);
      opening.catch(() => this.sessions.delete(name)); // so that it can be tried again
      this.sessions.set(name, opening);
    }
    return this.sessions.get(name);
  }

  async create(name) {
    const file = await this.files.read(name);
    try {
      return await this.ort.InferenceSession.create(file, this.options);
    } catch (error) {
      throw new Error(whatFailed(`The ${spelled(name)} could not be opened`, error), { cause: error });
    }
  }

  /**
   * @param {string} name of the network
   * @param {Record<string, [Float32Array, number[]]>} feeds input -> numbers and shape
   * @param {string[]} [outputs] which to give; all if left out
   * @returns {Promise<Record<string, Float32Array>>}
   */
  async run(name, feeds, outputs) {
    const shapes = await this.runShaped(name, feeds, outputs);
    return Object.fromEntries(Object.entries(shapes).map(([output, { data }]) => [output, data]));
  }

  /** The same, with each output's shape: `{ data, dims }`. */
  async runShaped(name, feeds, outputs) {
    const session = await this.open(name);
    const tensors = Object.entries(feeds).map(([input, [data, shape]]) => [input, new this.ort.Tensor("float32", data, shape)]);
    try {
      return await session.run(Object.fromEntries(tensors), outputs ?? session.outputNames);
    } catch (error) {
      throw new Error(whatFailed(`The ${spelled(name)} stopped`, error), { cause: error });
    }
  }
}

function spelled(name) {
  return { unet: "U-Net", text_encoder: "text encoder" }[name] ?? name;
}

/** An error of the runtime as a sentence; it says little itself when memory runs out. */
export function whatFailed(what, error) {
  const told = String(error?.message ?? error);
  if (error instanceof RangeError || NO_MEMORY.test(told)) {
    return `${what}: there is too little memory (about 400 MB are needed). Close other pages and load this one again.`;
  }
  return `${what}: ${told}`;
}
