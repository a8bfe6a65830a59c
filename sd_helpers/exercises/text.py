"""Checks of the exercises of notebook 03: positions, nearest rows, what a sum still tells, and vectors between words."""

from __future__ import annotations

import torch

from ..checks import NotYet, answered, as_number, exercise, expect, expect_close
from ..metrics import picture_tower
from ..text import embed_prompt

PROMPTS = ("A picture of a puppy", "", "a skunk, please!", "antidisestablishmentarianism", "strawbery", "puppy " * 100)


@exercise
def exercise_1(positions_used) -> str:
    """`positions_used(prompt, tokenizer)`: how many of the 77 positions hold pieces of the prompt itself."""
    tokenizer = picture_tower().tokenizer
    most = tokenizer.model_max_length - 2
    for prompt in PROMPTS:
        pieces = len(tokenizer.tokenize(prompt, verbose=False))
        given = as_number(positions_used(prompt, tokenizer))
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
def exercise_2(nearest_rows) -> str:
    """`nearest_rows(table, token_id, count)`: the ids of the rows most similar by cosine, best first, without its own."""
    for seed, token_id, count in ((0, 7, 3), (1, 41, 1), (2, 20, 5)):
        table = _table(60, 8, seed)
        table[50:] = 0  # never seen
        given = _ids(nearest_rows(table.clone(), token_id, count))
        right = _nearest(table, token_id, count)
        if given == right:
            continue
        said = f"Of 60 rows you return {given[:6]} for token {token_id} and count={count}."
        expect(token_id not in given, f"{said} A row is always nearest to itself: leave its own id out.")
        expect(len(given) == count, f"{said} That are {len(given)} ids.")
        expect(
            not any(i >= 50 for i in given),
            f"{said} Rows 50 to 59 are all zeros, a word never seen: without a direction there is no cosine.",
        )
        expect(given != _nearest(table, token_id, count, largest=False), f"{said} Those are the least similar ones.")
        dots = (table[:50] @ table[token_id]).index_fill(0, torch.tensor([token_id]), -1e9)
        expect(given != dots.topk(count).indices.tolist(), f"{said} Those have the largest dot product; divide by the lengths.")
        apart = (table[:50] - table[token_id]).norm(dim=1).index_fill(0, torch.tensor([token_id]), 1e9)
        expect(given != (-apart).topk(count).indices.tolist(), f"{said} Those are nearest by distance, not by cosine.")
        expect(sorted(given) != sorted(right), f"{said} The right ones, in the wrong order: the nearest first.")
        raise NotYet(f"{said} It should be {right}.")
    return "By direction, the nearest first."


def _table(count: int, wide: int, seed: int) -> torch.Tensor:
    """Rows of random directions, and of lengths from 0.2 to 3."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(count, wide, generator=generator), dim=1)
    return rows * torch.linspace(0.2, 3, count)[torch.randperm(count, generator=generator)][:, None]


def _nearest(table: torch.Tensor, token_id: int, count: int, largest: bool = True) -> list[int]:
    seen = [i for i in range(len(table)) if bool(table[i].any()) and i != token_id]
    alike = torch.nn.functional.cosine_similarity(table[seen], table[token_id][None])
    return [seen[i] for i in alike.topk(count, largest=largest).indices]


def _ids(value) -> list[int]:
    """What was returned as a list of whole numbers, or a hint."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    try:
        return [int(i) for i in value]
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"It should be a list or a tensor of ids, and is a {type(value).__name__}.") from None


@exercise
def exercise_3(read_sum) -> str:
    """`read_sum(vector, table, places)`: which row of the table and which row of the places were added."""
    table, places = _table(300, 24, seed=3), 3 * torch.nn.functional.normalize(_table(12, 24, seed=4), dim=1)
    for token_id, place in ((17, 3), (5, 0), (250, 11), (8, 8)):
        given = _ids(read_sum(table[token_id] + places[place], table.clone(), places.clone()))
        said = f"For row {token_id} plus place {place} you return {given}."
        expect(len(given) == 2, f"{said} Two numbers are wanted: the token's id and the place.")
        expect(given != [place, token_id] or place == token_id, f"{said} First the token's id, then the place.")
        alone = int((table - (table[token_id] + places[place])).norm(dim=1).argmin())
        expect(given[0] == token_id or given[0] != alone, f"{said} Take each place away from the vector before you compare.")
        expect(given[1] == place, f"{said} The place is wrong: try all of them, and keep the best of all pairs.")
        expect(given[0] == token_id, f"{said} The place is right, the token is not.")
    return "The sum still tells both."


@exercise
def exercise_4(embed_between) -> str:
    """`embed_between(first, second, amount, tokenizer, text_encoder)`: prompt embeddings of mixed token embeddings."""
    tower = picture_tower()
    parts = (tower.tokenizer, tower.text_encoder)
    first, second, amount = "a picture of a puppy", "a robot on a blue background", 0.3
    start, end = (embed_prompt(p, *parts) for p in (first, second))
    given = answered(embed_between(first, second, amount, *parts))
    expect(torch.is_tensor(given), f"It should be a tensor, and is a {type(given).__name__}.")
    expect(tuple(given.shape) == tuple(start.shape), f"Its shape is {tuple(given.shape)}, and should be {tuple(start.shape)}.")
    given = given.detach().float().cpu()

    def is_close(other) -> bool:
        return torch.allclose(given, other.float().cpu(), atol=2e-3, rtol=2e-3)

    mixes = {"right": {}, "swapped": {"amount": 1 - amount}, "none": {"times_position": 0}, "twice": {"times_position": 2}}
    mixes = {name: _between(first, second, *parts, **({"amount": amount} | change)) for name, change in mixes.items()}
    if not is_close(mixes["right"]):
        expect(not is_close((1 - amount) * start + amount * end), "That mixes what comes out. Mix the token embeddings going in.")
        expect(not is_close(mixes["swapped"]), "The amounts are swapped: `amount` is the share of the second prompt.")
        expect(not is_close(mixes["none"]), "The rows of the places are missing: each should be added once.")
        expect(not is_close(mixes["twice"]), "The places are in it twice: `encode_embeddings` adds them itself.")
        hint = "With amount={} it should be what `embed_prompt` gives for the {} prompt; is the amount used?"
        expect(not is_close(start), hint.format(1, "second"))
        expect(not is_close(end), hint.format(0, "first"))
    for share in (0.0, 1.0, amount):
        hint = f"With amount={share:g} the embeddings are not the right ones"
        right = _between(first, second, *parts, share)
        expect_close(answered(embed_between(first, second, share, *parts)), right, hint, tolerance=2e-3)
    return "Between two words there is a way, and the encoder goes along."


def _between(first: str, second: str, tokenizer, encoder, amount: float, times_position: float = 1.0) -> torch.Tensor:
    """The reference, by another way than the notebook's: a forward hook that replaces what the token table returns."""
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
