/** The files of the model: fetched once, packed, then from the browser's cache. */

const FORMAT = 1;
const CACHE = "emoji-sd";

export class Files {
  /**
   * @param {URL} address of the manifest; the files lie beside it
   * @param {(loaded: number, total: number) => void} told bytes on the way
   */
  static async open(address, told) {
    const response = await fetched(address, { cache: "no-cache" });
    const manifest = await response.json().catch(() => ({}));
    if (manifest.format !== FORMAT) {
      throw new Error(`${lastOf(address)} is not the manifest that this page needs: build the site anew, all of it.`);
    }
    return new Files(address, manifest, told);
  }

  constructor(base, manifest, told) {
    Object.assign(this, { base, manifest, told, loaded: 0, expected: 0 });
  }

  /** Bytes on the way of all these files together. */
  size(keys) {
    return keys.reduce((sum, key) => sum + this.manifest.files[key].bytes, 0);
  }

  /** From now on, what is loaded is told as a part of these files. */
  expect(keys) {
    Object.assign(this, { loaded: 0, expected: this.size(keys) });
  }

  address(key) {
    return new URL(this.manifest.files[key].name, this.base);
  }

  /** @returns {Promise<Uint8Array>} a file, unpacked */
  async read(key) {
    const { name, unpacked } = this.manifest.files[key];
    const address = this.address(key);
    const cache = await openCache(address);
    let packed = await (await cache?.match(address))?.blob();
    if (packed) this.tell(packed.size);
    else {
      packed = await this.download(address);
      // A full disk or a private window must not stop the drawing.
      await cache?.put(address, new Response(packed)).catch(() => {});
    }
    const content = await unpack(packed).catch(() => new Uint8Array());
    if (content.length !== unpacked) {
      await cache?.delete(address);
      throw new Error(`${name} arrived damaged or not whole: load the page again.`);
    }
    return content;
  }

  async download(address) {
    const reader = (await fetched(address)).body.getReader();
    const parts = [];
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        throw new Error(`${lastOf(address)} broke off on its way: see whether you are online, and load the page again.`);
      });
      if (done) return new Blob(parts);
      parts.push(value);
      this.tell(value.length);
    }
  }

  tell(bytes) {
    this.loaded += bytes;
    this.told?.(Math.min(this.loaded, this.expected), this.expected);
  }

  /** Drop from the cache what an earlier model left there. */
  async tidy() {
    const cache = await openCache(this.base);
    const names = new Set(Object.keys(this.manifest.files).map((key) => this.address(key).href));
    for (const { url } of (await cache?.keys()) ?? []) {
      if (url.startsWith(new URL(".", this.base).href) && !names.has(url)) await cache.delete(url);
    }
  }
}

/** Whether all of these are here already: in the cache, or in the page itself. */
export async function cached(files, keys) {
  const found = keys
    .map((key) => files.address(key))
    .map(async (address) => !remote(address) || (await openCache(address))?.match(address));
  return (await Promise.all(found)).every(Boolean);
}

/** The browser's cache, or undefined where there is none, as on a page that is not served securely. */
async function openCache(address) {
  try {
    return remote(address) ? await globalThis.caches?.open(CACHE) : undefined;
  } catch {
    return undefined;
  }
}

function remote({ protocol }) {
  return protocol.startsWith("http");
}

async function fetched(address, options) {
  const response = await fetch(address, options).catch(() => {
    throw new Error(`${lastOf(address)} could not be loaded: see whether you are online, and load the page again.`);
  });
  if (!response.ok) throw new Error(`${lastOf(address)} is missing on the server (${response.status}): the site is incomplete.`);
  return response;
}

function lastOf(address) {
  return address.pathname.split("/").pop();
}

/** Unpacked content; some servers unpack on the way, so the first two bytes decide. */
async function unpack(blob) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const packed = first === 0x1f && second === 0x8b;
  const stream = packed ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob.stream();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
