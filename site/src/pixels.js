/** Between pictures as a canvas has them and as the networks have them. */

/**
 * @param {Float32Array} pixels (n, 3, H, W) in [-1, 1]; what lies outside is clipped
 * @param {number} size H * W
 * @returns {Uint8ClampedArray[]} n of (H, W, 4)
 */
export function toRgba(pixels, size) {
  return Array.from({ length: pixels.length / (3 * size) }, (_, n) => {
    const rgba = new Uint8ClampedArray(4 * size).fill(255);
    for (let channel = 0; channel < 3; channel++) {
      const from = (3 * n + channel) * size;
      for (let i = 0; i < size; i++) rgba[4 * i + channel] = (pixels[from + i] + 1) * 127.5; // rounds, and clips
    }
    return rgba;
  });
}

/**
 * @param {Uint8ClampedArray | Uint8Array} rgba (H, W, 4); what is transparent becomes white
 * @param {number} size H * W
 * @returns {Float32Array} (3, H, W) in [-1, 1]
 */
export function fromRgba(rgba, size) {
  const pixels = new Float32Array(3 * size);
  for (let i = 0; i < size; i++) {
    const opacity = rgba[4 * i + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      const level = 255 + opacity * (rgba[4 * i + channel] - 255);
      pixels[channel * size + i] = level / 127.5 - 1;
    }
  }
  return pixels;
}

/**
 * Numbers from -1 to 1 as a grey picture.
 * @param {Float32Array} values (H * W,)
 * @param {number} scale what becomes white, and negative black
 * @returns {Uint8ClampedArray} (H, W, 4)
 */
export function grey(values, scale) {
  const rgba = new Uint8ClampedArray(4 * values.length).fill(255);
  values.forEach((value, i) => rgba.fill((value / scale + 1) * 127.5, 4 * i, 4 * i + 3));
  return rgba;
}
