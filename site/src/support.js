/** What a browser must be able to do, asked before anything is loaded. */

// The smallest module with an instruction on 16 bytes at a time.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** @returns {string} a sentence about what is missing, or "" */
export function missing(world = globalThis) {
  const needed = {
    WebAssembly: () => world.WebAssembly?.validate(Uint8Array.from(SIMD)),
    "background threads": () => world.Worker,
    "unpacking of files": () => world.DecompressionStream,
  };
  const lacking = Object.keys(needed).filter((name) => !needed[name]());
  if (!lacking.length) return "";
  return `This browser is too old to draw here: it lacks ${lacking.join(" and ")}. Chrome or Edge 91, Firefox 114, Safari 16.4 and later can.`;
}
