"""Checks of the exercises of notebook 09: the causal mask, what an edit leaves alone, search, and attention through layers."""

from __future__ import annotations

import torch

from ..checks import NotYet, answered, as_number, exercise, expect
from ..metrics import picture_tower


@exercise
def exercise_1(causal_mask) -> str:
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


PAIRS = (
    ("a red heart on a blue background", "a red heart on a yellow background"),
    ("a fox", "a fox on a white background"),
    ("a grinning cat, glossy", "a grinning cat, flat"),
    ("a star", "no star"),
    ("A Puppy", "a puppy"),
)


@exercise
def exercise_2(vectors_kept) -> str:
    """`vectors_kept(first, second, tokenizer)`: how many of the 77 vectors two prompts have in common."""
    tokenizer = picture_tower().tokenizer
    for first, second in PAIRS:
        ids = tokenizer([first, second], padding="max_length", max_length=77).input_ids
        right = next((i for i, (x, y) in enumerate(zip(*ids)) if x != y), 77)
        given = as_number(vectors_kept(first, second, tokenizer))
        said = f"For {first!r} and {second!r} you return {given:g}."
        expect(given == right or given != right - 1, f"{said} Position 0, the start token, is a vector as well.")
        expect(given == right or given != 77 - right, f"{said} That many change; how many stay?")
        words = next((i for i, (x, y) in enumerate(zip(first.split(), second.split())) if x != y), 77)
        expect(given == right or given not in (words, words + 1), f"{said} Compare pieces, not words: see `tokenizer(...)`.")
        same = sum(x == y for x, y in zip(*ids))
        expect(given == right or given != same, f"{said} Equal ids further on do not help: their vectors have read the change.")
        expect(given == right, f"{said} It should be {right}.")
    return f"All {len(PAIRS)} pairs: what stands before the first change stays."


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
def exercise_4(rollout) -> str:
    """`rollout(tables)`: (n, n), what each last state draws from each input, half by staying and half by looking."""
    for seed, layers, n in ((0, 1, 5), (1, 3, 6)):
        scores = torch.randn(layers, 4, n, n, generator=torch.Generator().manual_seed(seed)) * 2
        tables = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf")).softmax(dim=-1)
        given, right = answered(rollout(tables.clone())), _rollout(tables)
        expect(torch.is_tensor(given), f"It should be a tensor, and is a {type(given).__name__}.")
        expect(tuple(given.shape) == (n, n), f"Its shape is {tuple(given.shape)}, and should be {(n, n)}.")
        given = given.detach().double().cpu()

        def is_close(other, given=given) -> bool:
            return torch.allclose(given, other.double(), atol=1e-4)

        if is_close(right):
            continue
        said = f"For {layers} layer{'s' if layers > 1 else ''} it is not right:"
        expect(not is_close(_rollout(tables, stay=0)), f"{said} what a position knew stays in the sum; mix in the identity.")
        expect(not is_close(_rollout(tables.flip(0))), f"{said} the first layer acts first, so it stands rightmost.")
        expect(not is_close(right.T), f"{said} transposed; rows are the last states, columns the inputs.")
        expect(not is_close(_rollout(tables[:, :1])), f"{said} average over all heads.")
        expect(not is_close(_rollout(tables[-1:])), f"{said} that is the last layer alone; multiply all of them.")
        expect(bool(((given.sum(dim=1) - 1).abs() < 1e-3).all()), f"{said} each row should add up to 1.")
        raise NotYet(f"{said} off by up to {float((given - right).abs().max()):.2g}.")
    return "Each row adds up to 1: shares of the inputs."


def _rollout(tables: torch.Tensor, stay: float = 0.5) -> torch.Tensor:
    n = tables.shape[-1]
    total = torch.eye(n, dtype=torch.float64)
    for table in tables.double().mean(dim=1):
        total = (stay * torch.eye(n, dtype=torch.float64) + (1 - stay) * table) @ total
    return total
