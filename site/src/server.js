/** The engine at the other end of a line: it takes `{ id, what, values }` and `{ cancel: id }`, and answers each id once. */

import { EmojiSD, NEEDED } from "./emoji_sd.js";
import { cached, Files } from "./files.js";
import { whatFailed } from "./networks.js";

const FETCHED = ["wasm", ...NEEDED];
const THREADS = 4; // at most, where a page may have more than one

class Cancelled extends Error {}

export class Server {
  /**
   * @param {Worker | MessagePort | DedicatedWorkerGlobalScope} line
   * @param {string} manifest its address
   */
  constructor(line, manifest) {
    Object.assign(this, { line, manifest, cancelled: new Set(), turn: Promise.resolve() });
    line.onmessage = ({ data }) => this.receive(data);
  }

  receive(asked) {
    if (asked.cancel) this.cancelled.add(asked.cancel);
    else if (asked.what === "state")
      this.answer(asked); // needs no model, and need not wait for a drawing
    else this.turn = this.turn.then(() => this.answer(asked)); // one after another
  }

  async answer({ id, what, values }) {
    const checkCancelled = () => {
      if (this.cancelled.has(id)) throw new Cancelled();
    };
    const progress = (told) => this.line.postMessage({ id, progress: told });
    try {
      await breath();
      checkCancelled();
      this.line.postMessage({ id, done: await this[what](values, { progress, checkCancelled }) });
    } catch (error) {
      if (!(error instanceof Cancelled)) this.line.postMessage({ id, error: sentence(error) });
    } finally {
      this.cancelled.delete(id);
    }
  }

  /** How many bytes drawing needs, whether they are here already, and what the model is. */
  async state() {
    const files = await this.files();
    return { bytes: files.size(FETCHED), cached: await cached(files, FETCHED), model: files.manifest };
  }

  /** The words of prompts, with what is unknown and what is lost. */
  async words({ prompts }) {
    const { text } = await this.model();
    return prompts.map((prompt) => ({ words: text.words(prompt), lost: text.tokenizer.encode(prompt).lost }));
  }

  /** A drawing: its pictures, its steps, and the latents it reached. On the way, a preview of each step. */
  async draw({ wish }, { progress, checkCancelled }) {
    const model = await this.model();
    const { latents: shape, levels, schedule: trained } = model.manifest;
    const [steps, began] = [[], performance.now()];
    for await (const step of model.steps(wish)) {
      await breath();
      checkCancelled();
      steps.push(step);
      progress({ index: step.index, steps: wish.steps, sigma: step.sigma, previews: model.previews(step.x0) });
    }
    const latents = steps.at(-1)?.latents ?? (await model.start(wish.seed, wish.image, { ...wish, trained }));
    const pictures = await model.autoencoder.decode(latents);
    return { pictures, steps, latents, shape, levels, seconds: (performance.now() - began) / 1000 };
  }

  async decode({ latents }) {
    return (await this.model()).autoencoder.decode(latents);
  }

  async embed({ prompt }) {
    const model = await this.model();
    return { values: await model.text.embed([prompt]), width: model.manifest.width };
  }

  async levels({ latents, sigma, timestep, prompt }) {
    return (await this.model()).levels(latents, sigma, timestep, prompt);
  }

  files() {
    const tell = (done, total) => this.line.postMessage({ loading: { done, total } });
    return this.once("opening", () => Files.open(new URL(this.manifest), tell));
  }

  model() {
    return this.once("loading", () => this.load());
  }

  /** What failed is tried again when it is next asked for. */
  once(what, begin) {
    if (!this[what]) {
      this[what] = begin();
      this[what].catch(() => (this[what] = undefined));
    }
    return this[what];
  }

  async load() {
    const files = await this.files();
    files.expect(FETCHED);
    const [ort, wasm] = await Promise.all([runtime(files), files.read("wasm")]);
    const threads = globalThis.crossOriginIsolated ? Math.min(THREADS, navigator.hardwareConcurrency ?? 1) : 1;
    Object.assign(ort.env.wasm, { numThreads: threads, wasmBinary: wasm });
    const model = await EmojiSD.load(ort, files, { threads });
    ort.env.wasm.wasmBinary = undefined; // 14 MB that are needed no more
    await files.tidy();
    return model;
  }
}

async function runtime(files) {
  return import(files.address("runtime").href).catch((error) => {
    const { name } = files.manifest.files.runtime;
    throw new Error(`${name} could not be loaded: see whether you are online, and load the page again.`, { cause: error });
  });
}

/** Lets messages in: without it a drawing would not hear that it is cancelled. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(null);
  });
}

/** Our own errors are sentences already; of the browser's, the commonest is that memory ran out. */
function sentence(error) {
  const ours = error.constructor === Error || (error instanceof RangeError && !/alloc|memory/i.test(error.message));
  return ours ? error.message : whatFailed("The drawing stopped", error);
}
