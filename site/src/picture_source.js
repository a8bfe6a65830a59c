/** A picture to start from: a file, or the camera where the page is served securely. */

import { canvas, make } from "./dom.js";

/** Whether a page may ask for the camera here. */
const CAMERA = globalThis.isSecureContext && globalThis.navigator?.mediaDevices?.getUserMedia;

export class PictureSource {
  /**
   * @param {number[]} size [width, height] that the model takes
   * @param {() => void} changed
   * @param {(sentence: string) => void} say
   */
  constructor([width, height], changed, say) {
    Object.assign(this, { width, height, changed, say, rgba: null });
    this.file = make("input", { type: "file", accept: "image/*", onchange: () => this.fromFile() });
    this.shown = canvas(null, width, height, "the picture to start from", "start");
    this.camera = make("button", { type: "button", textContent: "Camera", hidden: !CAMERA, onclick: () => this.openCamera() });
    this.remove = make("button", { type: "button", textContent: "Remove", onclick: () => this.set(null) });
    this.view = make("div", { class: "camera" });
    this.element = make(
      "div",
      { class: "source" },
      make("label", {}, "Start from a picture ", this.file),
      this.camera,
      this.view,
      this.shown,
      this.remove,
    );
    this.update();
  }

  async fromFile() {
    const [file] = this.file.files;
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      this.set(this.fitted(picture, picture.width, picture.height));
    } catch {
      this.say(`${file.name} is no picture that this browser can read: try a PNG or a JPEG.`);
    }
  }

  async openCamera() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 640 } });
      const video = make("video", { srcObject: stream, muted: true, autoplay: true, playsInline: true });
      const close = () => (stream.getTracks().forEach((track) => track.stop()), this.view.replaceChildren());
      const take = () => (this.set(this.fitted(video, video.videoWidth, video.videoHeight)), close());
      this.view.replaceChildren(
        video,
        make("button", { type: "button", textContent: "Take the picture", onclick: take }),
        make("button", { type: "button", textContent: "Close the camera", onclick: close }),
      );
      this.view.querySelector("button").focus();
    } catch (error) {
      this.say(error.name === "NotAllowedError" ? "The camera was not allowed." : "There is no camera that the page can use.");
    }
  }

  /** The middle of a picture, at the model's size, on white: (H, W, 4). */
  fitted(picture, width, height) {
    const scale = Math.max(this.width / width, this.height / height);
    const target = Object.assign(document.createElement("canvas"), { width: this.width, height: this.height });
    const pen = target.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, this.width, this.height);
    pen.imageSmoothingQuality = "high";
    const [w, h] = [width * scale, height * scale];
    pen.drawImage(picture, (this.width - w) / 2, (this.height - h) / 2, w, h);
    return pen.getImageData(0, 0, this.width, this.height).data;
  }

  set(rgba) {
    this.rgba = rgba;
    if (!rgba) this.file.value = "";
    this.update();
    this.changed();
  }

  update() {
    this.shown.hidden = this.remove.hidden = !this.rgba;
    if (this.rgba) this.shown.getContext("2d").putImageData(new ImageData(this.rgba, this.width, this.height), 0, 0);
  }
}
