/** The film of x0: what each step aims at, and one slider that goes through it. */

import { canvas, make, paint } from "./dom.js";

export class Film {
  /**
   * @param {number[]} size [width, height] of a picture
   * @param {(place: number) => void} moved called with the number of a frame; the last is the finished picture
   */
  constructor(size, moved) {
    Object.assign(this, { size, moved, frames: [] });
    this.slider = make("input", { type: "range", min: 0, max: 0, value: 0, step: 1, disabled: true });
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.told = make("span", { class: "value", "aria-hidden": "true" });
    this.strip = make("div", { class: "strip", "aria-hidden": "true" }); // the slider says the same
    const label = make("label", {}, make("span", {}, "Film: step ", this.told), this.slider);
    this.element = make("div", { class: "film", hidden: true }, label, this.strip);
  }

  /** Begin a new film of so many steps. */
  begin(steps) {
    Object.assign(this, { frames: [], steps });
    this.strip.replaceChildren();
    this.element.hidden = false;
    this.slider.disabled = true;
    this.told.textContent = "";
  }

  /** Add a frame: one picture for each prompt. */
  add({ index, sigma, previews }) {
    this.append(`${index + 1} of ${this.steps}, sigma ${sigma.toFixed(sigma < 1 ? 2 : 1)}`, previews);
  }

  /** Add the finished pictures, and let the slider move. */
  finish(pictures) {
    this.append("at the end: the picture", pictures);
    this.slider.disabled = false;
    this.slider.max = this.frames.length - 1;
    this.mark(this.frames.length - 1);
  }

  append(told, pictures) {
    const place = this.frames.length;
    const shown = pictures.map((rgba) => canvas(rgba, ...this.size, told));
    const frame = make("div", { class: "frame", title: told, onclick: () => this.slider.disabled || this.go(place) }, ...shown);
    this.frames.push({ told, frame, pictures });
    this.strip.append(frame);
    this.told.textContent = told;
    this.strip.scrollLeft = this.strip.scrollWidth;
  }

  /** Show better pictures of a frame. */
  improve(place, pictures) {
    this.frames[place].pictures = pictures;
    this.frames[place].frame.querySelectorAll("canvas").forEach((one, i) => paint(one, pictures[i]));
  }

  go(place) {
    this.mark(place);
    this.moved(place);
  }

  mark(place) {
    this.slider.value = place;
    this.told.textContent = this.frames[place].told;
    this.slider.setAttribute("aria-valuetext", this.frames[place].told);
    this.frames.forEach(({ frame }, i) => frame.classList.toggle("now", i === place));
    const { frame } = this.frames[place];
    const middle = frame.offsetLeft - (this.strip.clientWidth - frame.clientWidth) / 2;
    this.strip.scrollTo({ left: middle }); // not scrollIntoView: the page itself must not jump
  }
}
