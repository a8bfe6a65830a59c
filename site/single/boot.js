// Unpacks the page's own script elements: modules become blobs that import each other, files become blobs that can be fetched.
const held = (id) => document.getElementById(id).textContent;
const address = (content, type) => URL.createObjectURL(new Blob([content], { type }));
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const modules = JSON.parse(held("modules")); // each after those that it imports
const places = {};
for (const [name, text] of Object.entries(modules)) {
  const linked = text.replace(/(from |import )"\.\/([\w.]+)"/g, (_, word, other) => `${word}"${places[other]}"`);
  places[name] = address(linked, "text/javascript");
}
const manifest = JSON.parse(held("manifest"));
for (const [key, file] of Object.entries(manifest.files)) {
  file.name = address(bytes(held(`file-${key}`)), file.name.endsWith(".mjs") ? "text/javascript" : "application/octet-stream");
}
globalThis.emojiSdPlaces = {
  style: address(held("style"), "text/css"),
  manifest: address(JSON.stringify(manifest), "application/json"),
  // A page from a disk may start no worker that imports anything: the engine works in the page itself.
  engine: (where) => {
    const { port1, port2 } = new MessageChannel();
    import(places["server.js"]).then(({ Server }) => new Server(port1, where));
    return port2;
  },
};
await import(places["element.js"]);
