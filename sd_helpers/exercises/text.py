"""Checks of the exercises of notebook 03: tokens, the causal mask, search, and vectors between words."""

from __future__ import annotations

import torch

from ..checks import NotYet, answered, as_number, exercise, expect, expect_close
from ..text import embed_prompt

PROMPTS = ("A picture of a puppy", "", "a skunk, please!", "antidisestablishmentarianism", "strawbery", "puppy " * 100)


@exercise
def exercise_1(positions_used, components) -> str:
    """`positions_used(prompt)`: how many of the 77 positions hold pieces of the prompt itself."""
    tokenizer = components.tokenizer
    most = tokenizer.model_max_length - 2
    for prompt in PROMPTS:
        pieces = len(tokenizer.tokenize(prompt, verbose=False))
        given = as_number(positions_used(prompt))
        shown = repr(prompt if len(prompt) < 40 else prompt[:12] + "... (100 words)")
        said = f"For {shown} you return {given:g}."
        expect(given != min(pieces, most) + 2, f"{said} Start and end are not part of the prompt: leave them out.")
        expect(given < most or pieces >= most, f"{said} That counts the padding too; it is no part of the prompt.")
        expect(given <= most, f"{said} Two positions are taken by start and end; what does not fit into the rest is cut off.")
        several = given == len(prompt.split()) != min(pieces, most)
        expect(not several, f"{said} A word, or a comma, can be several pieces: count tokens, not words.")
        expect(given == min(pieces, most), f"{said} It should be {min(pieces, most)}.")
    return f"All {len(PROMPTS)} prompts, from none to a hundred words."


@exercise
def exercise_2(causal_mask) -> str:
    """`causal_mask(n)`: (n, n), 0 where a row may look, minus infinity in the columns after it."""
    for n in (4, 1, 77):
        mask = answered(causal_mask(n))
        expect(torch.is_tensor(mask), f"It should be a tensor, and is a {type(mask).__name__}.")
        expect(tuple(mask.shape) == (n, n), f"For n={n} its shape is {tuple(mask.shape)}, and should be {(n, n)}.")
        expect(mask.is_floating_point(), f"It is of {mask.dtype}; what is added to scores should be floating point numbers.")
        _check_mask(mask.detach().double().cpu(), n)
    return "Row i sees columns 0 to i."


def _check_mask(mask: torch.Tensor, n: int) -> None:
    expect(
        not mask.isnan().any(), "It holds nan: infinity times zero is no number. Try `masked_fill`, or `triu` of a full matrix."
    )
    sees = torch.ones(n, n, dtype=torch.bool).tril()
    hidden = mask <= -1e4  # after the softmax that is zero as well
    if n > 1:
        expect(
            not torch.equal(mask, sees.double()),
            "Ones and zeros would be multiplied; this is added to scores before the softmax.",
        )
        expect(not torch.equal(hidden, sees), "You hide what comes before and show what comes after: the other way round.")
        expect(not torch.equal(hidden, ~sees.T), "Transposed: rows are who looks, columns what is looked at.")
    expect(not hidden.diagonal().any(), "A position may see itself: the diagonal should be 0.")
    expect(torch.equal(hidden, ~sees), "What comes after the row should be minus infinity, and nothing else.")
    expect(bool((mask[sees] == 0).all()), "Where a position may look, add nothing: 0.")


@exercise
def exercise_3(recall_at) -> str:
    """`recall_at(similarity, k)`: the share of rows whose own column, on the diagonal, is among the k largest."""
    for seed, n in ((0, 12), (1, 30)):
        similarity = torch.randn(n, n, generator=torch.Generator().manual_seed(seed)) + 1.2 * torch.eye(n)
        for k in (3, 1, n):
            given = as_number(recall_at(similarity.clone(), k))
            right = _recall(similarity, k)
            close = lambda value, given=given: abs(given - value) < 1e-4  # noqa: E731
            if close(right):
                continue
            said = f"For a matrix of {n} captions and k={k} you return {given:.3g}."
            expect(not close(n * right), f"{said} That is how many; the share is that divided by the number of captions.")
            expect(not close(100 * right), f"{said} That is per cent; the share goes from 0 to 1.")
            expect(not close(_recall(similarity.T, k)), f"{said} That is by columns: pictures that find their caption.")
            expect(not close(_recall(-similarity, k)), f"{said} Those are the least similar: sort the other way.")
            expect(not close(_recall(similarity, 1)), f"{said} That is right for k=1: look at the k best, not the best one.")
            raise NotYet(f"{said} It should be {right:.3g}.")
    return "By rows, for every k."


def _recall(similarity: torch.Tensor, k: int) -> float:
    own = similarity.diagonal()[:, None]
    return float(((similarity > own).sum(dim=1) < k).float().mean())


@exercise
def exercise_4(embed_between, components) -> str:
    """`embed_between(first, second, amount)`: prompt embeddings of mixed token embeddings, (1, 77, D)."""
    first, second, amount = "a picture of a puppy", "a robot on a blue background", 0.3
    start, end = (embed_prompt(p, components.tokenizer, components.text_encoder) for p in (first, second))
    given = answered(embed_between(first, second, amount))
    expect(torch.is_tensor(given), f"It should be a tensor, and is a {type(given).__name__}.")
    expect(tuple(given.shape) == tuple(start.shape), f"Its shape is {tuple(given.shape)}, and should be {tuple(start.shape)}.")
    given, start, end = given.detach().float().cpu(), start.float().cpu(), end.float().cpu()

    def is_close(other) -> bool:
        return torch.allclose(given, other.float().cpu(), atol=2e-3, rtol=2e-3)

    mixes = {"right": {}, "swapped": {"amount": 1 - amount}, "none": {"times_position": 0}, "twice": {"times_position": 2}}
    mixes = {name: _between(first, second, components, **({"amount": amount} | change)) for name, change in mixes.items()}
    if not is_close(mixes["right"]):
        expect(not is_close((1 - amount) * start + amount * end), "That mixes what comes out. Mix the token embeddings going in.")
        expect(not is_close(mixes["swapped"]), "The amounts are swapped: `amount` is the share of the second prompt.")
        expect(not is_close(mixes["none"]), "The positions are missing: `encode` takes token plus position.")
        expect(not is_close(mixes["twice"]), "The positions are in it twice; each should be added once.")
        hint = "With amount={} it should be what `embed_prompt` gives for the {} prompt; is the amount used?"
        expect(not is_close(start), hint.format(1, "second"))
        expect(not is_close(end), hint.format(0, "first"))
    for share in (0.0, 1.0, amount):
        hint = f"With amount={share:g} the embeddings are not the right ones"
        right = _between(first, second, components, share)
        expect_close(answered(embed_between(first, second, share)), right, hint, tolerance=2e-3)
    return "Between two words there is a way, and the encoder goes along."


def _between(first: str, second: str, components, amount: float, times_position: float = 1.0) -> torch.Tensor:
    """The reference, by another way than the notebook's: a forward hook that replaces what the token table returns."""
    tokenizer, encoder = components.tokenizer, components.text_encoder
    table, parts = encoder.get_input_embeddings(), getattr(encoder, "text_model", encoder)
    ids = tokenizer([first, second], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    ids = ids.to(encoder.device)
    with torch.no_grad():
        rows = table(ids)
        mixed = (1 - amount) * rows[:1] + amount * rows[1:]
        mixed = mixed + (times_position - 1) * parts.embeddings.position_embedding.weight
        hook = table.register_forward_hook(lambda module, given, output: mixed)
        try:
            return encoder(ids[:1])[0]
        finally:
            hook.remove()
