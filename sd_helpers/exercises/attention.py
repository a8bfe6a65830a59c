"""Checks of notebook 13: attention's softmax, a word's map, a word turned up, and maps for a prompt of another length."""

from __future__ import annotations

import torch

from ..checks import answered, exercise, expect, expect_known


def _random(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _probabilities(*shape, seed: int = 0) -> torch.Tensor:
    """Rows that sum to 1, unequal enough that every slip shows."""
    return (2 * _random(*shape, seed=seed)).softmax(dim=-1)


@exercise
def exercise_1(attention):
    """`attention(query, key)`: softmax(Q K^T / sqrt(d)) over the positions, for each head."""
    for heads, places, positions, d in ((4, 6, 77, 16), (2, 5, 5, 9)):
        query, key = _random(heads, places, d, seed=d), _random(heads, positions, d, seed=d + 1)
        value = answered(attention(query.clone(), key.clone()))
        products = query @ key.transpose(1, 2)
        mistakes = {
            "The division by the square root of d is missing, and the softmax is too sharp.": products.softmax(dim=-1),
            "That divides by d; it should be its square root.": (products / d).softmax(dim=-1),
            "It should be divided by the root of d, and yours is multiplied by it.": (products * d**0.5).softmax(dim=-1),
            "d is the channels of a head, the last axis of the query; yours is the number of positions.": (
                products / positions**0.5
            ).softmax(dim=-1),
            "The softmax runs over the places; each place divides its attention over the positions: dim=-1.": (
                products / d**0.5
            ).softmax(dim=1),
            "The softmax runs over the heads; it should be dim=-1.": (products / d**0.5).softmax(dim=0),
            "These are the scaled products; the softmax is missing.": products / d**0.5,
            "Places and positions have changed sides: the result is (heads, places, positions).": (products / d**0.5)
            .softmax(dim=-1)
            .transpose(1, 2),
        }
        expect_known(value, (products / d**0.5).softmax(dim=-1), mistakes, "They are other probabilities", tolerance=1e-5)
    return "Every row sums to 1: a place can look harder at one word only by looking less at the others."


@exercise
def exercise_2(word_map):
    """`word_map(probs, positions, height, width)`: shares summed over a word's positions, averaged over heads, in rows."""
    for positions, height, width in (([3, 4], 5, 8), ([7], 6, 4), (list(range(60, 77)), 3, 7)):
        probs = _probabilities(4, height * width, 77, seed=height)
        value = answered(word_map(probs.clone(), list(positions), height, width))
        columns = probs[..., positions]
        right = columns.sum(dim=-1).mean(dim=0).reshape(height, width)
        mistakes = {
            "The word's columns were averaged; its share is their sum.": columns.mean(dim=(0, 2)).reshape(height, width),
            "The heads were summed; a share is their mean.": columns.sum(dim=(0, 2)).reshape(height, width),
            "The heads are still apart: average over the first axis.": columns.sum(dim=-1).reshape(-1, height, width),
            "Only the first of the word's positions is in it.": columns[..., 0].mean(dim=0).reshape(height, width),
            "It is still one long line of places: reshape it to (height, width).": right.flatten(),
            "Rows and columns have changed places: the result is (height, width).": right.T,
            "The places are laid in rows, so the shape is (height, width), not (width, height).": right.reshape(width, height),
            "Rows and columns are mixed up: the places are laid row by row, reshape(height, width).": right.reshape(
                width, height
            ).T,
        }
        expect_known(
            value,
            right,
            mistakes,
            f"With positions {positions[:3]} and {height} x {width} places it is another map",
            tolerance=1e-5,
        )
    return "All positions together give a map of ones."


@exercise
def exercise_3(louder):
    """`louder(probs, positions, factor)`: some columns multiplied, rows scaled to sum to 1 again, the input untouched."""
    for shape, positions, factor in (((4, 6, 77), [5], 3.0), ((2, 3, 4, 5, 77), [2, 6], 0.0), ((3, 77), [1, 2], 0.5)):
        probs = _probabilities(*shape, seed=len(shape))
        given = probs.clone()
        value = answered(louder(given, list(positions), factor))
        expect(torch.equal(given, probs), "Your function changed the probabilities it was given; work on a clone.")
        scaled, inverse, added = probs.clone(), probs.clone(), probs.clone()
        scaled[..., positions] *= factor
        added[..., positions] += factor
        inverse = torch.where(torch.isin(torch.arange(77), torch.tensor(positions)), probs, probs * factor)
        mistakes = {
            "The rows do not sum to 1 any more: divide each by its sum.": scaled,
            "All rows were divided by one number; each has a sum of its own: sum(dim=-1, keepdim=True).": scaled
            / scaled.mean()
            / 77,
            "That is a softmax over probabilities, which flattens them; divide by the sum.": scaled.softmax(dim=-1),
            "The factor was added; it multiplies.": added / added.sum(dim=-1, keepdim=True),
            "All the other positions were multiplied.": inverse / inverse.sum(dim=-1, keepdim=True),
            "These are the probabilities unchanged.": probs,
        }
        expect_known(
            value,
            _to_one(scaled),
            mistakes,
            f"With positions {positions} and factor {factor:g} they are other probabilities",
            tolerance=1e-5,
        )
    return "What one word gains, all others lose, in proportion."


def _to_one(probs: torch.Tensor) -> torch.Tensor:
    return probs / probs.sum(dim=-1, keepdim=True)


@exercise
def exercise_4(aligned):
    """`aligned(kept, own, source)`: columns of the old prompt where they come from, own ones for new words, rows to 1."""
    inserted = [*range(3), None, *range(3, 76)]
    swapped = [*range(3), 5, 4, 3, None, None, *range(6, 75)]
    for seed, source in enumerate((inserted, swapped, list(range(77)))):
        kept, own = _probabilities(2, 6, 77, seed=seed), _probabilities(2, 6, 77, seed=seed + 9)
        given = kept.clone(), own.clone()
        value = answered(aligned(*given, list(source)))
        expect(
            torch.equal(given[0], kept) and torch.equal(given[1], own), "Your function changed what it was given; make a new one."
        )
        mixed, empty, pushed = own.clone(), torch.zeros_like(own), own.clone()
        for new, old in enumerate(source):
            if old is not None:
                mixed[..., new] = empty[..., new] = kept[..., old]
                pushed[..., old] = kept[..., new]
        unmoved = torch.where(torch.tensor([old is None for old in source]), own, kept)
        last = torch.stack([kept[..., -1 if old is None else old] for old in source], dim=-1)
        mistakes = {
            "The rows do not sum to 1: scale them at the end.": mixed,
            "The new words are left empty; their columns come from own.": _to_one(empty),
            "source is read backwards: source[new] is the old position.": _to_one(pushed),
            "The old columns were not moved: new position i takes kept[..., source[i]].": _to_one(unmoved),
            "A new word took kept's last column: None and -1 are no positions.": _to_one(last),
            "These are the new prompt's own probabilities; the kept ones are missing.": own,
            "These are the kept probabilities, in their old places.": kept,
            "The softmax flattens them; divide by the sum.": mixed.softmax(dim=-1),
        }
        expect_known(value, _to_one(mixed), mistakes, "They are other probabilities", tolerance=1e-5)
    return "So a prompt can gain a word and keep the places of all others."
