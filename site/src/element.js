/** <emoji-sd>: a model that draws in the page, on the device that shows it. */

import { clientFor } from "./client.js";
import { CONTROLS, Controls } from "./controls.js";
import { afterPause, canvas, make, paint } from "./dom.js";
import { Film } from "./film.js";
import { Parts } from "./parts.js";
import { PLACES } from "./places.js";
import { missing } from "./support.js";

const PAUSE = 250; // milliseconds without a change, after which it draws

/**
 * Attributes, all of them to begin with:
 * prompt, second, negative, seed, steps, guidance, sampler: what to draw.
 * controls: which of them can be changed, by name, `image` among them; all if left out.
 * show: of `film` and `parts`; both if left out.
 * wait: draw only when asked, even if the model is here already.
 * models: the folder with the model, without a slash at its end; the one beside this file's folder if left out.
 */
export class EmojiSDElement extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return; // moved, not made
    this.attachShadow({ mode: "open" });
    const style = make("link", { rel: "stylesheet", href: PLACES.style });
    this.status = make("p", { class: "status", role: "status", textContent: "One moment ..." });
    this.loaded = make("progress", { hidden: true, "aria-label": "Loading the model" });
    this.shadowRoot.append(style, this.status, this.loaded);
    this.begin().catch((error) => this.fail(error));
  }

  disconnectedCallback() {
    this.drawing?.abort();
  }

  async begin() {
    const lacking = missing();
    if (lacking) throw new Error(lacking);
    const folder = this.getAttribute("models");
    this.manifest = folder ? new URL(`${folder}/manifest.json`, document.baseURI).href : PLACES.manifest;
    const { bytes, cached, model } = await this.ask("state");
    this.build(model);
    this.wanted = cached; // nothing is loaded before somebody asks for it
    const megabytes = `${Math.round(bytes / 1e6)} MB`;
    this.say(
      cached
        ? "The model is here already."
        : `Drawing loads ${megabytes}, once; then they come from this browser's own store. Nothing is sent.`,
    );
    if (cached && !this.hasAttribute("wait")) this.draw();
  }

  build(model) {
    const size = model.picture.slice(1).reverse();
    const names = (attribute, all) => this.getAttribute(attribute)?.split(/[\s,]+/) ?? all;
    const changed = afterPause(PAUSE, () => this.wanted && this.draw());
    this.controls = new Controls(
      (name) => this.getAttribute(name),
      names("controls", CONTROLS),
      model,
      changed,
      (text) => this.say(text),
    );
    this.size = size;
    this.film = new Film(size, (place) => this.look(place));
    this.parts = new Parts(
      (what, values) => this.ask(what, values),
      size,
      (error) => this.fail(error),
    );
    this.stage = make("div", { class: "stage empty" }, ...this.canvases(1));
    this.stop = make("button", { type: "button", textContent: "Stop", disabled: true, onclick: () => this.cancel() });
    const submit = make("button", { type: "submit", textContent: "Draw", class: "main" });
    const asking = make("div", { class: "asking" }, submit, this.stop, this.controls.surprise, this.status, this.loaded);
    const shown = names("show", ["film", "parts"]);
    const picture = make("div", { class: "picture" }, this.stage, ...(shown.includes("film") ? [this.film.element] : []));
    // The picture lies within the form, so that on a phone the order of the page is that of the keyboard.
    const form = make("form", { class: "wish" }, this.controls.prompts, asking, picture, this.controls.settings);
    form.onsubmit = (event) => (event.preventDefault(), this.draw());
    this.shadowRoot.append(form, ...(shown.includes("parts") ? [this.parts.element] : []));
  }

  canvases(count) {
    return Array.from({ length: count }, () => canvas(null, ...this.size, "nothing is drawn yet"));
  }

  /** The worker, asked; after a failure of its own it is started anew. */
  ask(what, values, options) {
    const client = clientFor(this.manifest);
    if (client !== this.client) {
      this.client = client;
      client.loading.addEventListener("loading", ({ detail }) => this.showLoading(detail));
    }
    return client.ask(what, values, options);
  }

  /** Draw what the controls say; an earlier drawing that is not finished ends. */
  async draw() {
    this.drawing?.abort();
    const abort = new AbortController();
    this.drawing = abort;
    this.wanted = true;
    const options = { signal: abort.signal };
    const wish = this.controls.wish();
    const prompts = wish.prompts.map((prompt) => `"${prompt}"`).join(" and ");
    this.stop.disabled = false;
    this.say(this.ready ? `Drawing ${prompts} ...` : "Loading the model ...");
    try {
      const words = await this.ask("words", { prompts: wish.prompts }, options);
      this.ready = this.loaded.hidden = true;
      this.controls.tell(words);
      this.say(`Drawing ${prompts} ...`);
      this.film.begin(wish.steps);
      if (this.stage.childElementCount !== wish.prompts.length) this.stage.replaceChildren(...this.canvases(wish.prompts.length));
      const done = await this.ask("draw", { wish }, { ...options, onProgress: (step) => this.showStep(step) });
      this.showDone(done, wish, words);
    } catch (error) {
      if (!abort.signal.aborted) this.fail(error);
    } finally {
      if (this.drawing === abort) this.stop.disabled = true;
    }
  }

  cancel() {
    this.drawing?.abort();
    this.say("Stopped.");
  }

  showLoading({ done, total }) {
    if (!this.wanted) return; // another element of the page asked
    Object.assign(this.loaded, { hidden: done >= total, max: total, value: done });
    const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
    this.loaded.textContent = `${megabytes(done)} of ${megabytes(total)} MB`;
    if (done >= total && !this.ready) this.say("Opening the model ...");
  }

  showStep(step) {
    this.stage.classList.remove("empty");
    this.film.add(step);
    this.paint(step.previews, `x0 at step ${step.index + 1}`);
  }

  showDone(done, wish, words) {
    Object.assign(this, { done, wish });
    this.stage.classList.remove("empty"); // where no step was taken
    this.film.finish(done.pictures);
    this.paint(done.pictures);
    this.parts.take(done, wish, words);
    this.say(`Drawn in ${done.seconds.toFixed(1)} s, seed ${wish.seed}.`);
  }

  /** Show a frame of the film: at once softly, then decoded. */
  async look(place) {
    const step = this.done.steps[place];
    this.looking = place;
    this.paint(this.film.frames[place].pictures, step ? `x0 at step ${step.index + 1}` : "");
    this.parts.pick({ step: Math.min(place, this.done.steps.length - 1) });
    if (!step || step.decoded) return;
    const { done } = this;
    await new Promise((resolve) => setTimeout(resolve, PAUSE / 2));
    if (this.looking !== place || this.done !== done) return; // moved on
    const pictures = await this.ask("decode", { latents: step.x0 }).catch((error) => this.fail(error));
    if (!pictures || this.done !== done) return;
    step.decoded = true;
    this.film.improve(place, pictures);
    if (this.looking === place) this.paint(pictures, `x0 at step ${step.index + 1}`);
  }

  paint(pictures, what = "") {
    const { prompts, seed } = this.wish && what === "" ? this.wish : this.controls.wish();
    [...this.stage.children].forEach((target, i) => {
      if (pictures[i]) paint(target, pictures[i]);
      target.setAttribute("aria-label", `${what || "picture"} for "${prompts[i] ?? ""}", seed ${seed}`);
    });
  }

  say(sentence) {
    this.status.classList.remove("wrong");
    this.status.textContent = sentence;
  }

  fail(error) {
    this.loaded.hidden = true;
    this.status.classList.add("wrong");
    this.status.textContent = error.message;
  }
}

if (!customElements.get("emoji-sd")) customElements.define("emoji-sd", EmojiSDElement);
