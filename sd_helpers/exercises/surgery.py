"""Checks of the exercises of notebook 10: rows replaced, where two lines meet, a word weighted, a mixture taken apart."""

from __future__ import annotations

import torch

from ..checks import NotYet, answered, as_number, exercise, expect, expect_close
from ..metrics import picture_tower
from ..text import embed_prompt, encode_embeddings, token_embeddings


@exercise
def exercise_1(replace_token) -> str:
    """`replace_token(inputs_embeds, ids, old_id, row)`: a copy with `row` (D,) wherever `ids` (n, 77) is `old_id`."""
    generator = torch.Generator().manual_seed(0)
    for n, old_id in ((1, 6829), (2, 320), (2, 5)):
        embeds, row = torch.randn(n, 77, 12, generator=generator), torch.randn(12, generator=generator)
        ids = torch.full((n, 77), 49407)
        ids[:, :7] = torch.tensor([49406, 320, 1674, 539, 320, 6829, 49407])
        kept = embeds.clone()
        given = answered(replace_token(embeds, ids, old_id, row))
        untouched = "You have changed the tensor that was given: work on a copy, `inputs_embeds.clone()`."
        expect(torch.equal(embeds, kept), untouched)
        _tensor_of_shape(given, (n, 77, 12))
        right = torch.where((ids == old_id)[..., None], row, embeds)
        _hint_replaced(given, embeds, ids, old_id, row)
        expect_close(given, right, f"For id {old_id} the result is not the right one")
    return "Wherever the id stands, in every prompt, and also where it stands nowhere."


def _hint_replaced(given, embeds, ids, old_id: int, row) -> None:
    """`NotYet` if the result is one of the usual wrong ones."""
    places = (ids == old_id).nonzero().tolist()
    if not places:
        expect(torch.equal(given, embeds), f"No position has the id {old_id}, so nothing should be replaced.")
        return
    expect(not torch.equal(given, embeds), f"Nothing is replaced: are the ids compared with old_id, here {old_id}?")
    expect(not torch.equal(given, row.expand_as(embeds)), "Every position is replaced; only those with the id should be.")
    inverted = torch.where((ids == old_id)[..., None], embeds, row)
    expect(not torch.equal(given, inverted), "The other way round: you replace every position but the right ones.")
    if len(places) > 1:
        for some, hint in ((places[:1], "the first"), (places[-1:], "the last")):
            one = embeds.clone()
            for n, at in some:
                one[n, at] = row
            expect(not torch.equal(given, one), f"Only {hint} of several positions is replaced.")
    first = embeds.clone()
    for n in {n for n, _ in places}:
        first[n, min(at for m, at in places if m == n)] = row
    expect(len(places) == len(ids) or not torch.equal(given, first), "In each prompt only the first is replaced; do them all.")


@exercise
def exercise_2(crossing) -> str:
    """`crossing(amounts, first, second)`: where the lines through the points meet, the first time."""
    cases = [
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0.8, 0.7, 0.6, 0.2, 0.1], [0.1, 0.2, 0.3, 0.6, 0.7]),
        ([0.0, 0.1, 0.3, 0.4, 1.0], [0.9, 0.8, 0.0, 0.5, -0.2], [-0.3, 0.2, 0.3, 0.4, 0.8]),
        ([0.0, 1.0], [0.5, 0.25], [0.25, 0.35]),
    ]
    for amounts, first, second in cases:
        value = as_number(crossing(list(amounts), list(first), list(second)))
        after = next(i for i in range(len(amounts)) if second[i] > first[i])
        right = _meeting(amounts, first, second, after)
        if abs(value - right) < 1e-4:
            continue
        said = f"For amounts {amounts}, first {first} and second {second} you return {value:.4g}."
        _hint_crossing(value, amounts, first, second, after, said)
        raise NotYet(f"{said} It should be {right:.4g}.")
    return "The first crossing, to the point."


def _hint_crossing(value: float, amounts, first, second, after: int, said: str) -> None:
    """`NotYet` if the number is one of the usual wrong ones."""

    def close(other) -> bool:
        return abs(value - other) < 1e-4

    expect(not close(amounts[after]), f"{said} That is the first grid point after the crossing; the lines meet before it.")
    expect(not close(amounts[after - 1]), f"{said} That is the last grid point before the crossing; the lines meet after it.")
    middle = (amounts[after - 1] + amounts[after]) / 2
    expect(not close(middle), f"{said} That is halfway between two points; the lines meet nearer to where the gap is smaller.")
    expect(not close(after) and not close(after - 1), f"{said} That is an index; return an amount.")
    mirrored = amounts[after - 1] + amounts[after] - _meeting(amounts, first, second, after)
    expect(not close(mirrored), f"{said} The shares are swapped: the smaller gap is the nearer one.")
    share = _meeting(range(len(amounts)), first, second, after) - after + 1
    expect(
        not close(share), f"{said} That is the share of the way between two points; scale it to their distance and add the first."
    )
    last = max(i for i in range(1, len(amounts)) if second[i] > first[i] and second[i - 1] <= first[i - 1])
    expect(
        last == after or not close(_meeting(amounts, first, second, last)), f"{said} That is the last crossing, not the first."
    )


def _meeting(amounts, first, second, after: int) -> float:
    """Where two lines meet between point after - 1 and point after."""
    before_gap, after_gap = (first[i] - second[i] for i in (after - 1, after))
    share = before_gap / (before_gap - after_gap)
    return amounts[after - 1] + share * (amounts[after] - amounts[after - 1])


@exercise
def exercise_3(weigh) -> str:
    """`weigh(prompt, word, weight, tokenizer, text_encoder)`: without + weight * (with - without); in without its rows are zero.

    Asked of the miniature CLIP's text encoder, which is there whatever model a notebook runs on.
    """
    components = picture_tower()
    cases = [
        ("a red apple on a blue background", "blue", 1.0),
        ("a red apple on a blue background", "blue", 1.7),
        ("a puppy beside a puppy", "puppy", 0.4),
        ("a picture of a sailboat, glossy style", "sailboat", 2.0),
        ("a red apple", "apple", 0.0),
    ]
    for prompt, word, weight in cases:
        given = answered(weigh(prompt, word, weight, components.tokenizer, components.text_encoder))
        full = embed_prompt(prompt, components.tokenizer, components.text_encoder)
        _tensor_of_shape(given, tuple(full.shape))
        right = _weighed(prompt, word, weight, components)
        said = f"For {prompt!r}, {word!r} and weight {weight:g}: "
        if not _near(given, right):
            _hint_weighed(given, prompt, word, weight, components, said)
        expect_close(given, right, f"{said}the embeddings are not the right ones", tolerance=2e-3)
    return "Any word, of any number of tokens, as often as it occurs."


def _hint_weighed(given, prompt: str, word: str, weight: float, components, said: str) -> None:
    """`NotYet` if the embeddings are those of one of the usual mistakes."""
    full = embed_prompt(prompt, components.tokenizer, components.text_encoder)
    mask = _holds(prompt, word, components)
    rows = token_embeddings(prompt, components.tokenizer, components.text_encoder)
    one, first = torch.zeros_like(mask), torch.zeros_like(mask)
    one[mask.nonzero()[0]] = True
    ids = _ids(prompt, components)[0]
    first[(ids == ids[mask][0]).nonzero()[:, 0]] = True

    def factors(places):
        return torch.where(places, weight, 1.0).to(full)[None, :, None]

    shorter = embed_prompt(prompt.replace(word, "").replace("  ", " ").strip(), components.tokenizer, components.text_encoder)
    wrong = {
        "the weight counts from the other end: at weight 1 it should be the prompt itself.": _weighed(
            prompt, word, 1 - weight, components
        ),
        "that scales the word's row; scale the difference of finished embeddings.": encode_embeddings(
            rows * factors(mask), components.text_encoder
        ),
        "that scales the finished vectors of the word alone; the difference is at all later positions.": full * factors(mask),
        "the word is taken out of the sentence, and all that follows moves up: put zeros in its place.": _away(
            full, shorter, weight
        ),
        "only the word's first token has zeros; it has several.": _away(full, _zeroed(rows, first, components), weight),
        "only one position of the word has zeros; a word may occur more than once and have several tokens.": _away(
            full, _zeroed(rows, one, components), weight
        ),
        "all 77 rows are zero: only the word's should be.": _away(full, _zeroed(rows, mask | True, components), weight),
        "the difference alone is not it: add what is there without the word.": weight
        * (full - _away(full, _zeroed(rows, mask, components), 0)),
        "added to the whole prompt the difference counts once too often.": _weighed(prompt, word, 1 + weight, components),
        "that is the prompt itself: is the weight used?": full,
    }
    for hint, other in wrong.items():
        expect(not _near(given, other), said + hint)


def _ids(prompt: str, components) -> torch.Tensor:
    tokens = components.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return tokens.input_ids


def _holds(prompt: str, word: str, components) -> torch.Tensor:
    """Which of the 77 positions hold one of the word's tokens, (77,)."""
    pieces = components.tokenizer(word).input_ids[1:-1]
    return torch.isin(_ids(prompt, components)[0], torch.tensor(pieces))


def _zeroed(rows, mask, components):
    return encode_embeddings(rows.masked_fill(mask[None, :, None], 0), components.text_encoder)


def _away(full, without, weight: float):
    return without + weight * (full - without)


def _weighed(prompt: str, word: str, weight: float, components):
    rows = token_embeddings(prompt, components.tokenizer, components.text_encoder)
    full = embed_prompt(prompt, components.tokenizer, components.text_encoder)
    return _away(full, _zeroed(rows, _holds(prompt, word, components), components), weight)


@exercise
def exercise_4(amount_of) -> str:
    """`amount_of(finished, first, second, tokenizer, text_encoder)`: the second prompt's share in a mixture of rows, to 0.01."""
    components = picture_tower()
    for first, second, secret in (
        ("A picture of a puppy", "A picture of a skunk", 0.3),
        ("A mouse", "A leopard", 0.62),
        ("a red heart", "a robot on a blue background", 0.85),
    ):
        rows = token_embeddings([first, second], components.tokenizer, components.text_encoder)
        with torch.no_grad():
            mixed = encode_embeddings((1 - secret) * rows[:1] + secret * rows[1:], components.text_encoder)
        ends = embed_prompt([first, second], components.tokenizer, components.text_encoder)
        kept = mixed.clone()
        value = as_number(amount_of(mixed, first, second, components.tokenizer, components.text_encoder))
        expect(torch.equal(mixed, kept), "Your function has changed the embeddings that were given.")
        said = f"For a mixture of {first!r} and {second!r} you return {value:.3f}."
        expect(0 <= value <= 1, f"{said} The amount lies between 0 and 1.")
        if abs(value - secret) <= 0.011:
            continue
        way = ends[1:] - ends[:1]
        straight = float(((mixed - ends[:1]) * way).sum() / (way**2).sum())
        linear = f"{said} That is the progress along the line of finished embeddings; the transformer does not go straight."
        expect(abs(value - straight) > 0.004, linear)
        expect(abs(value - (1 - secret)) > 0.011, f"{said} That is the share of the first prompt; return that of the second.")
        raise NotYet(f"{said} It should be {secret:.2f}, to a hundredth.")
    return "Three mixtures taken apart."


def _tensor_of_shape(value, shape: tuple) -> None:
    """`NotYet` unless value is a tensor of that shape."""
    expect(value is not None, "It is None: does your function return its result?")
    expect(torch.is_tensor(value), f"It should be a tensor, and is a {type(value).__name__}.")
    expect(tuple(value.shape) == shape, f"Its shape is {tuple(value.shape)}, and should be {shape}.")


def _near(given, other) -> bool:
    given, other = (x.detach().double().cpu() for x in (given, other))
    return bool((given - other).abs().max() <= 2e-3 * max(1.0, float(other.abs().max())))
