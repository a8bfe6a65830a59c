/** The page's side of the engine: one worker for all elements of a page. */

import { PLACES } from "./places.js";

export class Client {
  /** @param {string} manifest its address, with the files of the model beside it */
  constructor(manifest) {
    this.waiting = new Map();
    this.last = 0;
    this.loading = new EventTarget();
    this.worker = PLACES.engine(manifest);
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.end(`The drawing program could not be started (${event.message ?? "a file is missing or the browser is too old"}).`);
    };
  }

  /**
   * @param {string} what a method of the server
   * @param {object} [values]
   * @param {{ signal?: AbortSignal, onProgress?: (progress: object) => void }} [options]
   * @returns {Promise<any>} rejected with an AbortError when the signal says so
   */
  ask(what, values = {}, { signal, onProgress } = {}) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      if (this.ended) throw new Error(this.ended);
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => {
        if (!this.waiting.delete(id)) return; // it was answered before
        this.worker.postMessage({ cancel: id });
        reject(signal.reason);
      });
      this.waiting.set(id, { resolve, reject, onProgress });
      this.worker.postMessage({ id, what, values });
    });
  }

  receive({ id, loading, progress, done, error }) {
    if (loading) return this.loading.dispatchEvent(new CustomEvent("loading", { detail: loading }));
    const asked = this.waiting.get(id);
    if (!asked) return; // cancelled
    if (progress) return asked.onProgress?.(progress);
    this.waiting.delete(id);
    error === undefined ? asked.resolve(done) : asked.reject(new Error(error));
  }

  /** The worker is of no more use. */
  end(sentence) {
    this.ended = sentence;
    for (const { reject } of this.waiting.values()) reject(new Error(sentence));
    this.waiting.clear();
    clients.forEach((client, key) => client === this && clients.delete(key));
    this.worker.terminate?.();
  }
}

const clients = new Map();

/** @returns {Client} the one for the model with this manifest */
export function clientFor(manifest) {
  if (!clients.has(manifest)) clients.set(manifest, new Client(manifest));
  return clients.get(manifest);
}
