import assert from "node:assert/strict";
import test from "node:test";
import { apart, engine, numbers, reference } from "./help.js";

test("prompts become the ids of transformers' tokenizer", async () => {
  const { text } = await engine();
  for (const { prompt, ids } of reference.prompts) {
    assert.deepEqual([...text.tokenizer.encode(prompt).ids], ids, JSON.stringify(prompt));
  }
});

test("the words that training never showed are told", async () => {
  const { text } = await engine();
  for (const { prompt, known } of reference.prompts) {
    assert.deepEqual(
      text.words(prompt).map((word) => word.known),
      known,
      JSON.stringify(prompt),
    );
  }
});

test("what does not fit into the positions is told", async () => {
  const { tokenizer } = (await engine()).text;
  assert.equal(tokenizer.encode("a fox").lost, "");
  assert.equal(tokenizer.encode("a ".repeat(75)).lost, "");
  assert.equal(tokenizer.encode(`${"a ".repeat(75)}red fox`).lost, "red fox");
});

test("prompts are embedded as in Python, alone and together", async () => {
  const { text } = await engine();
  const together = await text.embed(reference.embeds.map(({ prompt }) => prompt));
  for (const [i, { prompt, embeds }] of reference.embeds.entries()) {
    const wanted = numbers(embeds);
    assert.ok(apart(await text.embed([prompt]), wanted) < 1e-5, prompt);
    assert.ok(apart(together.subarray(i * wanted.length, (i + 1) * wanted.length), wanted) < 1e-5, prompt);
  }
});
