/** Where the other parts of the page lie. A page in one file (single.py) says so before this is read. */

export const PLACES = globalThis.emojiSdPlaces ?? {
  style: new URL("element.css", import.meta.url).href,
  manifest: new URL("../models/manifest.json", import.meta.url).href,
  engine: (manifest) => new Worker(new URL("worker.js", import.meta.url), { type: "module", name: manifest }),
};
