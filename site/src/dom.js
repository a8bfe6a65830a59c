/** A few words for making what is on the page. */

/**
 * @param {string} name of the element
 * @param {object} [properties] set on it; `class`, `role` and names with a dash or starting with `aria` as attributes
 * @param {...(Node | string)} children
 */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class" || key === "role" || key.includes("-")) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** A canvas that shows pixels of (height, width, 4), with a text for those who do not see it. */
export function canvas(rgba, width, height, label, kind = "") {
  const made = make("canvas", { width, height, class: kind, role: "img", "aria-label": label });
  if (rgba) paint(made, rgba);
  return made;
}

export function paint(target, rgba) {
  const pixels = rgba instanceof Uint8ClampedArray ? rgba : new Uint8ClampedArray(rgba);
  target.getContext("2d").putImageData(new ImageData(pixels, target.width, target.height), 0, 0);
}

/** A picture with its caption. */
export function figure(picture, caption) {
  return make("figure", {}, picture, make("figcaption", {}, caption));
}

/** Calls at most once per pause. */
export function afterPause(milliseconds, call) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), milliseconds);
  };
}
