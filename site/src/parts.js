/** The machine, live: pick a part, and see what passes there at a step of the last drawing. */

import { make } from "./dom.js";
import { PARTS, Run } from "./run.js";

export class Parts {
  /**
   * @param {(what: string, values: object) => Promise<any>} ask the engine
   * @param {number[]} size [width, height] of a picture
   * @param {(error: Error) => void} failed
   */
  constructor(ask, size, failed) {
    Object.assign(this, { ask, size, failed, part: "latents", step: 0, shows: 0 });
    this.buttons = Object.keys(PARTS).map((name) =>
      make("button", { type: "button", textContent: name, onclick: () => this.pick({ part: name }) }),
    );
    this.which = make("select", { onchange: () => this.show() });
    this.whichLabel = make("label", { hidden: true }, "of the prompt ", this.which);
    this.level = make("select", { onchange: () => this.show() });
    this.levelLabel = make("label", {}, "block ", this.level);
    this.told = make("p", { "aria-live": "polite", textContent: "Draw something first." });
    this.passing = make("div", { class: "passing" });
    this.element = make(
      "details",
      { class: "parts", ontoggle: () => this.show() },
      make("summary", {}, "What passes through each part"),
      make("div", { class: "map", role: "group", "aria-label": "Parts of the machine" }, ...this.buttons),
      make("div", { class: "choice" }, this.whichLabel, this.levelLabel),
      this.told,
      this.passing,
    );
    this.mark();
  }

  /**
   * A new drawing.
   * @param {object} drawing what the worker answered to "draw"
   * @param {object} wish what was asked for
   * @param {object[]} words what it answered to "words", one for each prompt
   */
  take(drawing, wish, words) {
    this.run = new Run(drawing, wish, words, this.ask, this.size);
    this.which.replaceChildren(...wish.prompts.map((prompt) => new Option(prompt || "(empty)")));
    this.whichLabel.hidden = wish.prompts.length < 2;
    if (!this.level.length) this.level.append(...drawing.levels.map((name) => new Option(name.replace("_", " "), name)));
    this.pick({ step: drawing.steps.length - 1 });
  }

  /** Change what is looked at: { part } or { step }. */
  pick(choice) {
    Object.assign(this, choice);
    this.mark();
    this.show();
  }

  mark() {
    this.buttons.forEach((button) => button.setAttribute("aria-pressed", button.textContent === this.part));
    this.levelLabel.hidden = this.part !== "U-Net";
  }

  /** Show the part; what is overtaken by a later choice is dropped. */
  async show() {
    if (!this.run || !this.element.open) return;
    const mine = ++this.shows;
    try {
      const { shown, told } = await this.run.at(this.part, this.step, this.which.selectedIndex, this.level.value);
      if (mine !== this.shows) return;
      this.told.textContent = told;
      this.passing.replaceChildren(...shown);
    } catch (error) {
      this.failed(error);
    }
  }
}
