"""The checks of notebook 09's exercises: what is right is told so, and what is wrong gets a hint that fits."""

import pytest
import torch

from sd_helpers import embed_prompt, picture_tower
from sd_helpers.checks import OPEN
from sd_helpers.exercises import text_encoder as check

EXERCISES = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


def said(capsys, exercise, *answer) -> str:
    exercise(*answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", EXERCISES)
def test_open_answers(capsys, exercise):
    assert said(capsys, exercise, lambda *given: ...) == OPEN
    assert said(capsys, exercise, ...) == OPEN


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("value", [None, "seven", [], {}, -1])
def test_useless_answers(capsys, exercise, value):
    assert said(capsys, exercise, lambda *given: value).startswith("Not yet.")


def test_causal_mask(capsys):
    def told(mask):
        return said(capsys, check.exercise_1, mask)

    def right(n):
        return torch.full((n, n), float("-inf")).triu(1)

    assert told(right).startswith("Right.")
    assert told(lambda n: torch.full((n, n), torch.finfo(torch.float32).min).triu(1)).startswith("Right.")
    assert "the other way round" in told(lambda n: torch.full((n, n), float("-inf")).tril())
    assert "Transposed" in told(lambda n: right(n).T)
    assert "diagonal" in told(lambda n: torch.full((n, n), float("-inf")).triu())
    assert "before the softmax" in told(lambda n: torch.ones(n, n).tril())
    assert "nan" in told(lambda n: torch.ones(n, n).triu(1) * float("-inf"))
    assert "floating point" in told(lambda n: torch.ones(n, n, dtype=torch.bool).triu(1))
    assert "shape" in told(lambda n: right(n + 1))
    assert "add nothing" in told(lambda n: right(n) + 1)
    assert "nothing else" in told(lambda n: torch.zeros(n, n))


def ids(first, second, tokenizer):
    return tokenizer([first, second], padding="max_length", max_length=77).input_ids


def kept(first, second, tokenizer):
    return next((i for i, (a, b) in enumerate(zip(*ids(first, second, tokenizer))) if a != b), 77)


def test_vectors_kept(capsys):
    def told(count):
        return said(capsys, check.exercise_2, count)

    assert told(kept).startswith("Right.")
    assert "start token" in told(lambda *given: kept(*given) - 1)
    assert "how many stay" in told(lambda *given: 77 - kept(*given))
    assert "further on" in told(lambda *given: sum(a == b for a, b in zip(*ids(*given))))
    words = lambda a, b, t: next((i for i, (x, y) in enumerate(zip(a.split(), b.split())) if x != y), 77)  # noqa: E731
    assert "not words" in told(lambda *given: min(77, words(*given) + 1))
    assert "It should be" in told(lambda *given: 50)


def test_the_encoder_keeps_as_many(components):
    for first, second in check.PAIRS:
        a, b = embed_prompt([first, second], components.tokenizer, components.text_encoder)
        same = (a - b).abs().amax(dim=1) < 1e-4
        assert int(same.sum()) == kept(first, second, picture_tower().tokenizer)


def test_recall_at(capsys):
    def told(recall):
        return said(capsys, check.exercise_3, recall)

    def right(similarity, k, dim=1):
        best = similarity.topk(k, dim=dim).indices
        own = torch.arange(len(similarity)).unsqueeze(dim)
        return (best == own).any(dim=dim).float().mean()

    assert told(right).startswith("Right.")
    assert told(lambda s, k: right(s, k).item()).startswith("Right.")
    assert "by columns" in told(lambda s, k: right(s, k, dim=0))
    assert "how many" in told(lambda s, k: right(s, k) * len(s))
    assert "per cent" in told(lambda s, k: right(s, k) * 100)
    assert "least similar" in told(lambda s, k: right(-s, k))
    assert "right for k=1" in told(lambda s, k: right(s, 1))
    assert "It should be" in told(lambda s, k: 0.123)


def test_rollout(capsys):
    def told(rollout):
        return said(capsys, check.exercise_4, rollout)

    def right(tables, stay=0.5, heads=slice(None)):
        total = torch.eye(tables.shape[-1])
        for table in tables[:, heads].mean(dim=1):
            total = (stay * torch.eye(len(total)) + (1 - stay) * table) @ total
        return total

    assert told(right).startswith("Right.")
    assert "mix in the identity" in told(lambda t: right(t, stay=0))
    assert "first layer acts first" in told(lambda t: right(t.flip(0)))
    assert "transposed" in told(lambda t: right(t).T)
    assert "all heads" in told(lambda t: right(t, heads=slice(0, 1)))
    assert "last layer alone" in told(lambda t: right(t[-1:]))
    assert "add up to 1" in told(lambda t: 2 * right(t))
    assert "shape" in told(lambda t: right(t)[0])
    assert "off by" in told(lambda t: torch.eye(t.shape[-1]))
