/** CLIP's tokenizer: NFC, lower case, words by a regular expression, byte-pair encoding (Sennrich et al. 2016). */

// JavaScript's own \s takes U+FEFF, too, and not U+0085.
const WORD = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
const SPECIAL = ["<|startoftext|>", "<|endoftext|>"];
const END_OF_WORD = "</w>";

export class Tokenizer {
  /**
   * @param {string} merges one pair a line, the first to be merged first
   * @param {number} positions how many ids a prompt becomes
   */
  constructor(merges, positions) {
    const pairs = merges.split("\n");
    const letters = [...LETTERS].sort((one, other) => one.codePointAt(0) - other.codePointAt(0));
    const pieces = [
      ...letters,
      ...letters.map((letter) => letter + END_OF_WORD),
      ...pairs.map((pair) => pair.replace(" ", "")),
      ...SPECIAL,
    ];
    this.ids = new Map(pieces.map((piece, id) => [piece, id]));
    this.ranks = new Map(pairs.map((pair, rank) => [pair, rank]));
    this.positions = positions;
    [this.start, this.end] = SPECIAL.map((piece) => this.ids.get(piece));
  }

  /**
   * A prompt word by word, without start and end.
   * @param {string} prompt
   * @returns {{ word: string, pieces: string[], ids: number[] }[]}
   */
  words(prompt) {
    // The special tokens are looked for in the text as it is, everything else in lower case.
    return prompt.split(/(<\|startoftext\|>|<\|endoftext\|>)/).flatMap((part, i) => {
      if (i % 2) return [{ word: part, pieces: [part], ids: [this.ids.get(part)] }];
      return (lower(part.normalize("NFC")).match(WORD) ?? []).map((word) => this.word(word));
    });
  }

  word(word) {
    const pieces = this.merged(word);
    return { word, pieces, ids: pieces.map((piece) => this.ids.get(piece)) };
  }

  /** The bytes of a word, the pair with the lowest rank merged until none is left that can be. */
  merged(word) {
    const pieces = Array.from(new TextEncoder().encode(word), (byte) => LETTERS[byte]);
    pieces[pieces.length - 1] += END_OF_WORD;
    for (;;) {
      let best = Infinity;
      for (let i = 0; i + 1 < pieces.length; i++) best = Math.min(best, this.rank(pieces, i));
      if (best === Infinity) return pieces;
      // As a rank is one pair's alone, this merges every place where that pair stands, from the left.
      for (let i = 0; i + 1 < pieces.length; i++) {
        if (this.rank(pieces, i) === best) pieces.splice(i, 2, pieces[i] + pieces[i + 1]);
      }
    }
  }

  rank(pieces, i) {
    return this.ranks.get(`${pieces[i]} ${pieces[i + 1]}`) ?? Infinity;
  }

  /**
   * A prompt as the text encoder reads it: start, its tokens, end, and ends up to the last position.
   * @param {string} prompt
   * @returns {{ ids: Int32Array, lost: string }} (positions,), and the end of the prompt that did not fit
   */
  encode(prompt) {
    const words = this.words(prompt);
    const found = words.flatMap(({ ids }) => ids);
    const room = this.positions - 2;
    const ids = new Int32Array(this.positions).fill(this.end);
    ids[0] = this.start;
    ids.set(found.slice(0, room), 1);
    return { ids, lost: lostWords(words, room) };
  }
}

/** The words from the first that does not fit whole. */
function lostWords(words, room) {
  let used = 0;
  const fits = words.findIndex(({ ids }) => (used += ids.length) > room);
  return fits < 0
    ? ""
    : words
        .slice(fits)
        .map(({ word }) => word)
        .join(" ");
}

/** Letter by letter, or the last sigma of a Greek word would become another than in Python. */
function lower(text) {
  return Array.from(text, (letter) => letter.toLowerCase()).join("");
}

/** The letter that stands for each byte: itself where it can be seen, else one from 256 on. */
const LETTERS = (() => {
  const seen = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(seen(byte) ? byte : next++));
})();
