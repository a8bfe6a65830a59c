"""The checks of notebook 13's exercises: what is right is told so, and what is wrong gets a hint that fits."""

import pytest
import torch

from sd_helpers.checks import OPEN
from sd_helpers.exercises import attention as check

ALL = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


def said(capsys, exercise, *answer) -> str:
    exercise(*answer)
    return capsys.readouterr().out.strip()


def attention(query, key, scale=0.5, dim=-1):
    return (query @ key.transpose(1, 2) / query.shape[-1] ** scale).softmax(dim=dim)


def word_map(probs, positions, height, width):
    return probs[..., positions].sum(dim=-1).mean(dim=0).reshape(height, width)


def to_one(probs):
    return probs / probs.sum(dim=-1, keepdim=True)


def louder(probs, positions, factor):
    scaled = probs.clone()
    scaled[..., positions] *= factor
    return to_one(scaled)


def aligned(kept, own, source, backwards=False, scale=True):
    mixed = own.clone()
    for new, old in enumerate(source):
        if old is not None:
            mixed[..., old if backwards else new] = kept[..., new if backwards else old]
    return to_one(mixed) if scale else mixed


def in_place(probs, positions, factor):
    probs[..., positions] *= factor
    return to_one(probs)


@pytest.mark.parametrize("exercise", ALL)
def test_open_answers(capsys, exercise):
    assert said(capsys, exercise, ...) == OPEN
    assert said(capsys, exercise, lambda *given: ...) == OPEN


@pytest.mark.parametrize("exercise", ALL)
@pytest.mark.parametrize("value", [None, "seven", [], {}, 3.0, torch.zeros(2)])
def test_useless_answers(capsys, exercise, value):
    assert said(capsys, exercise, lambda *given: value).startswith("Not yet.")


@pytest.mark.parametrize("exercise", ALL)
def test_what_a_learners_code_raises_is_a_hint(capsys, exercise):
    assert "ZeroDivisionError" in said(capsys, exercise, lambda *given: 1 / 0)
    assert said(capsys, exercise, lambda: None).startswith("Not yet.")


@pytest.mark.parametrize(("exercise", "answer"), list(zip(ALL, [attention, word_map, louder, aligned], strict=True)))
def test_right_answers(capsys, exercise, answer):
    assert said(capsys, exercise, answer).startswith("Right.")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda q, k: attention(q, k, scale=0), "missing"),
        (lambda q, k: attention(q, k, scale=1), "square root"),
        (lambda q, k: attention(q, k, scale=-0.5), "multiplied"),
        (lambda q, k: attention(q, k, dim=1), "over the places"),
        (lambda q, k: attention(q, k, dim=0), "over the heads"),
        (lambda q, k: q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, "softmax is missing"),
        (lambda q, k: attention(q, k).transpose(1, 2), "changed sides"),
        (lambda q, k: attention(q, k, scale=0.4), "other probabilities"),
    ],
)
def test_hints_of_attention(capsys, answer, hint):
    told = said(capsys, check.exercise_1, answer)
    assert told.startswith("Not yet.") and hint in told


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, at, h, w: word_map(p, at, h, w) / len(at), "their sum"),
        (lambda p, at, h, w: word_map(p, at, h, w) * len(p), "summed"),
        (lambda p, at, h, w: word_map(p, at[:1], h, w), "Only the first"),
        (lambda p, at, h, w: word_map(p, at, h, w).flatten(), "one long line"),
        (lambda p, at, h, w: word_map(p, at, h, w).T, "changed places"),
        (lambda p, at, h, w: word_map(p, at, w, h), "(width, height)"),
        (lambda p, at, h, w: word_map(p, at, w, h).T, "row by row"),
        (lambda p, at, h, w: p[..., at].sum(dim=-1).reshape(-1, h, w), "heads are still apart"),
        (lambda p, at, h, w: 1 - word_map(p, at, h, w), "another map"),
    ],
)
def test_hints_of_a_words_map(capsys, answer, hint):
    told = said(capsys, check.exercise_2, answer)
    assert told.startswith("Not yet.") and hint in told


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (in_place, "work on a clone"),
        (lambda p, at, f: torch.where(torch.isin(torch.arange(77), torch.tensor(at)), p * f, p), "sum to 1"),
        (lambda p, at, f: torch.where(torch.isin(torch.arange(77), torch.tensor(at)), p * f, p).softmax(-1), "flattens"),
        (lambda p, at, f: to_one(torch.where(torch.isin(torch.arange(77), torch.tensor(at)), p + f, p)), "added"),
        (lambda p, at, f: to_one(torch.where(torch.isin(torch.arange(77), torch.tensor(at)), p, p * f)), "other positions"),
        (lambda p, at, f: p, "unchanged"),
        (lambda p, at, f: louder(p, at, 2 * f + 1), "other probabilities"),
    ],
)
def test_hints_of_louder(capsys, answer, hint):
    told = said(capsys, check.exercise_3, answer)
    assert told.startswith("Not yet.") and hint in told


def emptied(kept, own, source):
    return aligned(kept, torch.zeros_like(own), source)


def without_moving(kept, own, source):
    return to_one(torch.where(torch.tensor([old is None for old in source]), own, kept))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda kept, own, source: aligned(kept, own, source, scale=False), "sum to 1"),
        (lambda kept, own, source: aligned(kept, own, source, backwards=True), "backwards"),
        (lambda kept, own, source: aligned(kept, own, source, scale=False).softmax(dim=-1), "flattens"),
        (emptied, "left empty"),
        (without_moving, "not moved"),
        (lambda kept, own, source: own, "own probabilities"),
        (lambda kept, own, source: kept, "old places"),
        (lambda kept, own, source: kept.copy_(own), "changed what it was given"),
        (lambda kept, own, source: (kept + own) / 2, "other probabilities"),
    ],
)
def test_hints_of_aligned(capsys, answer, hint):
    told = said(capsys, check.exercise_4, answer)
    assert told.startswith("Not yet.") and hint in told
