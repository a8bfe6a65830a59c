import assert from "node:assert/strict";
import test from "node:test";
import { Generator } from "../src/noise.js";
import { apart, numbers, reference } from "./help.js";

test("a seed gives torch's noise, for any count", () => {
  for (const { seed, count, values } of reference.noise.fresh) {
    const found = new Generator(BigInt(seed)).randn(count);
    assert.ok(apart(found, numbers(values)) < 1e-6, `seed ${seed}, ${count} numbers`);
  }
});

test("one generator goes on as torch's does", () => {
  const { seed, counts, values } = reference.noise.row;
  const generator = new Generator(Number(seed));
  counts.forEach((count, i) => assert.ok(apart(generator.randn(count), numbers(values[i])) < 1e-6, `${i}: ${count} numbers`));
});

test("what is no seed is refused with a sentence", () => {
  for (const seed of [-1, 0.5, NaN, "1", 2 ** 53]) assert.throws(() => new Generator(seed), /must be a whole number/);
});
