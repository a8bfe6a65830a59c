/** torch's generator on a CPU, number for number: the same seed gives Python's noise. */

const WORDS = 624; // of state
const AHEAD = 397;
const BLOCK = 16;

/** What `torch.Generator("cpu").manual_seed(seed)` is: MT19937 (Matsumoto and Nishimura 1998). */
export class Generator {
  /** @param {number | bigint} seed a whole number from 0 on; as in torch, its lower 32 bits count */
  constructor(seed) {
    if (!(typeof seed === "bigint" || Number.isSafeInteger(seed)) || seed < 0) {
      throw new RangeError(`seed=${seed} must be a whole number from 0 on.`);
    }
    this.state = new Uint32Array(WORDS);
    this.state[0] = Number(BigInt(seed) & 0xffffffffn);
    for (let i = 1; i < WORDS; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = WORDS;
    this.spare = null; // the second of a pair of normal numbers, see `normal`
  }

  /** @returns {number} 32 random bits */
  random() {
    if (this.next === WORDS) this.twist();
    let bits = this.state[this.next++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  twist() {
    const s = this.state;
    for (let i = 0; i < WORDS; i++) {
      const bits = (s[i] & 0x80000000) | (s[(i + 1) % WORDS] & 0x7fffffff);
      s[i] = s[(i + AHEAD) % WORDS] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  /** @returns {number} from 0 to below 1, with the 24 bits that a float has */
  uniform() {
    return (this.random() & 0xffffff) / 2 ** 24;
  }

  /** @returns {number} from 0 to below 1, with the 53 bits that a double has */
  uniformDouble() {
    const high = this.random() & 0x1fffff; // 21 of them
    return (high * 2 ** 32 + this.random()) / 2 ** 53;
  }

  /**
   * What `torch.randn(count, generator=...)` gives.
   * @param {number} count
   * @returns {Float32Array} (count,)
   */
  randn(count) {
    return count < BLOCK ? Float32Array.from({ length: count }, () => this.normal()) : this.normalBlocks(count);
  }

  /** One normal number; they come in pairs (Box and Muller 1958), and torch keeps the second for the next call. */
  normal() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const angle = 2 * Math.PI * this.uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniformDouble()));
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** 16 or more: all uniform numbers first, then block by block the first eight as radii, the other eight as angles. */
  normalBlocks(count) {
    const out = Float32Array.from({ length: count }, () => this.uniform());
    for (let at = 0; at + BLOCK <= count; at += BLOCK) boxMuller(out, at);
    if (count % BLOCK) {
      // The last 16 are drawn anew, over some that were done already.
      for (let i = count - BLOCK; i < count; i++) out[i] = this.uniform();
      boxMuller(out, count - BLOCK);
    }
    return out;
  }
}

function boxMuller(values, at) {
  for (let i = at; i < at + BLOCK / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = 2 * Math.PI * values[i + BLOCK / 2];
    values[i] = radius * Math.cos(angle);
    values[i + BLOCK / 2] = radius * Math.sin(angle);
  }
}
