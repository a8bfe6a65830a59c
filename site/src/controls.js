/** The form: what is wished for. */

import { make } from "./dom.js";
import { PictureSource } from "./picture_source.js";

export const CONTROLS = ["prompt", "second", "negative", "seed", "steps", "guidance", "sampler", "image"];
const DEFAULTS = { prompt: "", second: "", negative: "", seed: "0", steps: "20", guidance: "5", sampler: "lms" };
const SEEDS = 100; // that "another" chooses from: small numbers can be told to a neighbour

export class Controls {
  /**
   * @param {(name: string) => string | null} given what the element's attributes say
   * @param {string[]} shown which controls there are; the others keep what was given
   * @param {{ picture: number[], words: { things: string[], styles: string[], backgrounds: string[] } }} model
   * @param {() => void} changed
   * @param {(sentence: string) => void} say
   */
  constructor(given, shown, { picture, words }, changed, say) {
    const settings = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, given(name) ?? value]));
    this.fields = this.makeFields(settings);
    this.told = make("p", { class: "told", "aria-live": "polite", id: "told" });
    this.fields.prompt.setAttribute("aria-describedby", "told");
    const [, height, width] = picture;
    this.image = new PictureSource([width, height], () => (this.update(), changed()), say);
    this.prompts = this.makePrompts(shown);
    const surprised = () => ((this.fields.prompt.value = surprise(words)), changed());
    this.surprise = make("button", { type: "button", textContent: "Surprise me", onclick: surprised });
    this.surprise.hidden = !shown.includes("prompt");
    this.settings = this.makeSettings(shown, changed);
    for (const part of [this.prompts, this.settings]) {
      part.addEventListener("input", (event) => event.target.name && (this.update(), changed()));
    }
    this.update();
  }

  makeFields({ prompt, second, negative, seed, steps, guidance, sampler }) {
    const text = (name, value) => make("input", { name, value, type: "text", autocomplete: "off", spellcheck: false });
    const slide = (name, min, max, step, value) => make("input", { name, type: "range", min, max, step, value });
    const select = make("select", { name: "sampler" }, new Option("LMS", "lms"), new Option("Euler", "euler"));
    select.value = sampler;
    return {
      prompt: text("prompt", prompt),
      second: text("second", second),
      negative: text("negative", negative),
      seed: make("input", { name: "seed", type: "number", min: 0, max: 2 ** 32 - 1, step: 1, value: seed, inputMode: "numeric" }),
      steps: slide("steps", 1, 50, 1, steps),
      guidance: slide("guidance", 1, 12, 0.5, guidance),
      sampler: select,
      startStep: slide("startStep", 0, steps, 1, Math.round(steps * 0.4)),
    };
  }

  makePrompts(shown) {
    const label = make("label", { hidden: !shown.includes("prompt") }, "Prompt ", this.fields.prompt);
    return make("div", { class: "prompts" }, label, this.told);
  }

  makeSettings(shown, changed) {
    const { seed, steps, guidance, second, negative, sampler, startStep } = this.fields;
    this.outputs = { steps: value(), guidance: value(), startStep: value() };
    const slider = (name, label, field) =>
      make("label", { class: name }, make("span", {}, `${label} `, this.outputs[name]), field);
    const another = make("button", { type: "button", textContent: "Another" });
    another.onclick = () => ((seed.value = Math.floor(Math.random() * SEEDS)), changed());
    this.from = slider("startStep", "Start step", startStep);
    const made = {
      seed: make("div", { class: "row seed" }, make("label", {}, "Seed ", seed), another),
      steps: slider("steps", "Steps", steps),
      guidance: slider("guidance", "Guidance scale", guidance),
      second: make("label", {}, "Second prompt, drawn beside it from the same seed ", second),
      negative: make("label", {}, "Negative prompt, to lead away from ", negative),
      sampler: make("label", {}, "Sampler ", sampler),
      image: make("div", { class: "image" }, this.image.element, this.from),
    };
    return make(
      "div",
      { class: "settings" },
      ...Object.keys(made)
        .filter((name) => shown.includes(name))
        .map((name) => made[name]),
    );
  }

  /** What hangs on other fields. */
  update() {
    const { steps, guidance, startStep } = this.fields;
    if (startStep.max !== steps.value) {
      const share = startStep.value / startStep.max; // stays the same when there are more steps, or fewer
      startStep.max = steps.value;
      startStep.value = Math.round(share * steps.value);
    }
    this.from.hidden = !this.image.rgba;
    this.outputs.steps.textContent = steps.value;
    this.outputs.guidance.textContent = guidance.value > 1 ? guidance.value : "off";
    const kept = startStep.value > steps.value / 2 ? "much" : "little";
    this.outputs.startStep.textContent = `${startStep.value} of ${steps.value}: ${kept} is kept`;
    startStep.setAttribute("aria-valuetext", this.outputs.startStep.textContent);
    guidance.setAttribute("aria-valuetext", this.outputs.guidance.textContent);
  }

  /** @returns {object} a wish as `EmojiSD.steps` takes it */
  wish() {
    const { prompt, second, negative, seed, steps, guidance, sampler, startStep } = this.fields;
    const image = this.image.rgba;
    return {
      prompts: second.value.trim() ? [prompt.value, second.value] : [prompt.value],
      negative: negative.value,
      seed: Math.min(2 ** 32 - 1, Math.max(0, Math.floor(Number(seed.value)) || 0)),
      steps: Number(steps.value),
      guidance: Number(guidance.value),
      sampler: sampler.value,
      image,
      startStep: image ? Number(startStep.value) : 0,
    };
  }

  /** Say which words of the prompts the model can make nothing of. */
  tell(found) {
    const unknown = [...new Set(found.flatMap(({ words }) => words.filter(({ known }) => !known).map(({ word }) => word)))];
    const lost = found.map((one) => one.lost).filter(Boolean);
    const never = unknown.length ? `Training never showed it ${unknown.join(", ")}: it can make nothing of that. ` : "";
    this.told.textContent = never + (lost.length ? `Too long: it does not see ${lost.join(" and ")}.` : "");
  }
}

/** What a slider stands at, for the eye: the slider itself says it to a screen reader. */
function value() {
  return make("span", { class: "value", "aria-hidden": "true" });
}

/** A prompt of things that training showed. */
function surprise({ things, styles, backgrounds }) {
  const some = (names) => names[Math.floor(Math.random() * names.length)];
  const withArticle = (words) => `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;
  return `${withArticle(`${some(styles)} ${some(things)}`)} on ${withArticle(some(backgrounds))} background`;
}
