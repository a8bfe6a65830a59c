/** One drawing with everything kept that a reader may ask for, as pictures and numbers. */

import { canvas, figure, make } from "./dom.js";
import { atUnitSize } from "./loop.js";
import { grey } from "./pixels.js";
import { joined } from "./text.js";

const MAPS = 6; // channels of a block that are shown
const FULL = 3; // standard deviations that are white, and negative black

/** Name of a part -> what it does, in the order in which they are passed. */
export const PARTS = {
  prompt: "The prompt is cut into pieces, and each piece has an id: its row in a table of vectors.",
  "text encoder": "It turns the rows into one vector for each position; the U-Net reads all of them at every step.",
  latents: "Four numbers stand for 8 x 8 pixels. This is what the U-Net is given, and what it would look like decoded.",
  "U-Net": "It looks for the noise in the latents: down to coarse maps, and up again.",
  guidance: "The U-Net is asked twice, without the prompt and with it; guidance goes on from the one past the other.",
  scheduler: "It takes a part of the predicted noise away, and so decides where the next step begins.",
  decoder: "It turns latents into pixels, once, at the end.",
};
const OF_THE_PROMPT = ["prompt", "text encoder"]; // the same at every step

export class Run {
  /**
   * @param {object} drawing what the worker answered to "draw"
   * @param {object} wish what was asked for
   * @param {object[]} words of each prompt
   * @param {(what: string, values: object) => Promise<any>} ask the engine
   * @param {number[]} size [width, height] of a picture
   */
  constructor(drawing, wish, words, ask, size) {
    Object.assign(this, { drawing, wish, words, ask, size, kept: new Map() });
    [this.channels, this.height, this.width] = drawing.shape;
  }

  /**
   * @param {string} part one of PARTS
   * @param {number} index of the step, among those that were taken
   * @param {number} picture whose: 0, or 1 where there are two
   * @param {string} level of the U-Net
   * @returns {Promise<{ shown: Element[], told: string }>}
   */
  async at(part, index, picture, level) {
    Object.assign(this, { part, picture });
    const step = this.drawing.steps[index];
    if (OF_THE_PROMPT.includes(part))
      return this.said(await (part === "prompt" ? this.pieces() : this.vectors()), "The same at every step.");
    if (!step) return { shown: [], told: "No step was taken: the picture was only encoded and decoded." };
    const ways = {
      latents: () => this.latents(step),
      "U-Net": () => this.maps(step, index, level),
      guidance: () => this.predictions(step),
      scheduler: () => this.oneStep(step, index),
      decoder: () => this.bothDecoded(step, index),
    };
    return this.said(
      await ways[part](),
      `Step ${step.index + 1} of ${this.wish.steps}, where the film stands; sigma ${step.sigma.toFixed(2)}.`,
    );
  }

  said({ shown, told }, where) {
    return { shown, told: [PARTS[this.part], told, where].filter(Boolean).join(" ") };
  }

  async pieces() {
    const row = (cells, kind = "td") => make("tr", {}, ...cells.map((text) => make(kind, {}, text)));
    const rows = this.words[this.picture].words.map(({ word, pieces, ids, known }) =>
      row([word, pieces.map((piece) => piece.replace("</w>", "")).join(" + "), ids.join(", "), known ? "yes" : "no"]),
    );
    const head = row(["word", "pieces", "ids", "seen in training"], "th");
    return { shown: [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))] };
  }

  async vectors() {
    const { values, width } = await this.ask("embed", { prompt: this.wish.prompts[this.picture] });
    const label = `${values.length / width} vectors, one a row, of ${width} numbers`;
    return {
      shown: [figure(canvas(grey(values, largest(values)), width, values.length / width, this.named(label), "wide"), label)],
    };
  }

  async latents(step) {
    const seen = this.seen(step);
    const [decoded] = await this.ask("decode", { latents: seen });
    const maps = this.split(seen).map((values, i) => this.map(values, FULL, `channel ${i}`));
    const sizes = [this.own(step.before), seen].map((values) => spread(values).toFixed(2));
    const told = `Their standard deviation is ${sizes[0]}, that of what the U-Net is given ${sizes[1]}.`;
    return { shown: [...maps, this.photo(decoded, "decoded")], told };
  }

  async maps(step, index, level) {
    const prompt = this.wish.prompts[this.picture];
    const { sigma, timestep } = step;
    const found = await this.once(`levels ${index} ${this.picture}`, () =>
      this.ask("levels", { latents: this.own(step.before), sigma, timestep, prompt }),
    );
    const { data, dims } = found[level];
    const [, channels, height, width] = dims;
    const maps = Array.from({ length: Math.min(MAPS, channels) }, (_, i) =>
      data.subarray(i * height * width, (i + 1) * height * width),
    );
    const shown = maps.map((map, i) => this.map(map, largest(map), `map ${i}`, width, height));
    return {
      shown,
      told: `This block gives ${channels} maps of ${height} x ${width}; each is grey at 0, white or black at its largest.`,
    };
  }

  async predictions(step) {
    const [without, guided] = [step.without, step.noise].map((noise) => this.own(noise));
    const first = (values, caption, scale = FULL) => this.map(this.split(values)[0], scale, caption);
    if (this.wish.guidance <= 1) return { shown: [first(guided, "with prompt")], told: "Here it is off." };
    const apart = guided.map((value, i) => (value - without[i]) / this.wish.guidance);
    const size = Math.sqrt(apart.reduce((sum, value) => sum + value * value, 0) / apart.length);
    const shown = [
      first(without, this.wish.negative ? "with negative prompt" : "without prompt"),
      first(
        without.map((value, i) => value + apart[i]),
        "with prompt",
      ),
      first(guided, `guided, scale ${this.wish.guidance}`),
      first(apart, "difference, enlarged", 4 * Math.max(size, 1e-6)),
    ];
    return {
      shown,
      told: `Of each prediction channel 0 is shown; the first two are ${size.toFixed(3)} apart (root mean square).`,
    };
  }

  async oneStep(step, index) {
    const next = this.drawing.steps[index + 1];
    const reached = next ? this.seen(next) : this.own(this.drawing.latents);
    const pictures = await this.ask("decode", { latents: joined([this.seen(step), this.own(step.x0), reached]) });
    const names = ["before the step", "x0 that it aims at", "after the step"];
    const before = this.own(step.before);
    const moved = spread(this.own(step.latents).map((value, i) => value - before[i]));
    const told = `This step moves the latents by ${moved.toFixed(2)} (standard deviation).`;
    return { shown: pictures.map((rgba, i) => this.photo(rgba, names[i])), told };
  }

  async bothDecoded(step) {
    const pictures = await this.ask("decode", { latents: joined([this.own(step.x0), this.own(this.drawing.latents)]) });
    const names = ["x0 of this step", "the picture, at the end"];
    const told = `x0 is ${levelsApart(...pictures).toFixed(1)} levels of 255 from the picture.`;
    return { shown: pictures.map((rgba, i) => this.photo(rgba, names[i])), told };
  }

  /** What was asked before is not asked again. */
  once(what, ask) {
    if (!this.kept.has(what)) this.kept.set(what, ask());
    return this.kept.get(what);
  }

  /** Of the latents of all pictures, those of the one that is looked at: (4, h, w). */
  own(latents) {
    const size = this.channels * this.height * this.width;
    return latents.subarray(this.picture * size, (this.picture + 1) * size);
  }

  /** Latents as the U-Net sees them. */
  seen(step) {
    return atUnitSize(this.own(step.before), step.sigma);
  }

  /** The channels of latents: 4 of (h, w). */
  split(latents) {
    const size = this.height * this.width;
    return Array.from({ length: this.channels }, (_, i) => latents.subarray(i * size, (i + 1) * size));
  }

  map(values, scale, caption, width = this.width, height = this.height) {
    return figure(canvas(grey(values, scale), width, height, this.named(caption), "map-picture"), caption);
  }

  photo(rgba, caption) {
    return figure(canvas(rgba, ...this.size, this.named(caption)), caption);
  }

  named(caption) {
    return `${this.part}: ${caption}`;
  }
}

/** The largest size of a number. */
function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
}

/** The standard deviation. */
function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** The mean difference of two pictures (H, W, 4) without their opacity. */
function levelsApart(one, other) {
  return one.reduce((sum, level, i) => sum + Math.abs(level - other[i]), 0) / ((one.length * 3) / 4);
}
