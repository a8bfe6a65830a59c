"""The checks of notebook 03's exercises: what is right is told so, and what is wrong gets a hint that fits."""

import pytest
import torch

from sd_helpers import embed_prompt, encode_embeddings, token_embeddings
from sd_helpers.checks import OPEN
from sd_helpers.exercises import text as check

EXERCISES = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


def said(capsys, exercise, *answer) -> str:
    exercise(*answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", EXERCISES)
def test_open_answers(capsys, exercise):
    assert said(capsys, exercise, lambda *given: ...) == OPEN
    assert said(capsys, exercise, ...) == OPEN


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("value", [None, "seven", [], {}, 3])
def test_useless_answers(capsys, exercise, value):
    assert said(capsys, exercise, lambda *given: value).startswith("Not yet.")


def test_positions_used(capsys):
    def told(count):
        return said(capsys, check.exercise_1, count)

    def pieces(prompt, tokenizer):
        return len(tokenizer.tokenize(prompt, verbose=False))

    assert told(lambda prompt, t: min(75, pieces(prompt, t))).startswith("Right.")
    assert told(lambda prompt, t: torch.tensor(min(75, pieces(prompt, t)))).startswith("Right.")
    assert "Start and end" in told(lambda prompt, t: min(77, pieces(prompt, t) + 2))
    assert "padding" in told(lambda prompt, t: 77)
    assert "cut off" in told(pieces)
    assert "count tokens" in told(lambda prompt, t: min(75, len(prompt.split())))
    assert "It should be" in told(lambda prompt, t: 3)
    assert "ZeroDivisionError" in told(lambda prompt, t: 1 / 0)


def test_nearest_rows(capsys):
    def told(nearest):
        return said(capsys, check.exercise_2, nearest)

    def right(table, token_id, count, sign=1.0):
        unit = torch.nn.functional.normalize(table, dim=1)
        alike = sign * (unit @ unit[token_id])
        alike[token_id] = alike[~table.any(dim=1)] = -2
        return alike.topk(count).indices

    def by_distance(table, token_id, count):
        return (table[:50] - table[token_id]).norm(dim=1).argsort()[1 : count + 1]

    def by_product(table, token_id, count):
        products = table @ table[token_id]
        products[token_id] = -1e9
        return products.topk(count).indices

    assert told(right).startswith("Right.")
    assert told(lambda *given: right(*given).tolist()).startswith("Right.")
    assert "own id" in told(lambda table, i, n: [i, *right(table, i, n - 1).tolist()] if n > 1 else [i])
    assert "least similar" in told(lambda *given: right(*given, sign=-1.0))
    assert "by distance" in told(by_distance)
    assert "dot product" in told(by_product)
    assert "never seen" in told(lambda table, i, n: list(range(50, 50 + n)))
    assert "wrong order" in told(lambda *given: right(*given).flip(0))
    assert "ids" in told(lambda table, i, n: right(table, i, n + 2))
    assert "It should be" in told(lambda table, i, n: list(range(21, 21 + n)))


def test_read_sum(capsys):
    def told(read):
        return said(capsys, check.exercise_3, read)

    def right(vector, table, places):
        apart = torch.cdist(vector - places, table)  # (places, tokens)
        place, token_id = divmod(int(apart.argmin()), len(table))
        return token_id, place

    def table_alone(vector, table, places):
        token_id = int((table - vector).norm(dim=1).argmin())
        return token_id, int((vector - table[token_id] - places).norm(dim=1).argmin())

    assert told(right).startswith("Right.")
    assert told(lambda *given: torch.tensor(right(*given))).startswith("Right.")
    assert "First the token" in told(lambda *given: right(*given)[::-1])
    assert "before you compare" in told(table_alone)
    assert "place is wrong" in told(lambda *given: (right(*given)[0], (right(*given)[1] + 1) % 12))
    assert "token is not" in told(lambda *given: (299, right(*given)[1]))
    assert "Two numbers" in told(lambda *given: [1, 2, 3])


def test_embed_between(capsys):
    def told(embed):
        return said(capsys, check.exercise_4, embed)

    def right(first, second, amount, *parts, positions=1.0):
        rows = token_embeddings([first, second], *parts)  # (2, 77, D)
        places = getattr(parts[1], "text_model", parts[1]).embeddings.position_embedding.weight
        mixed = (1 - amount) * rows[:1] + amount * rows[1:] + (positions - 1) * places
        return encode_embeddings(mixed, parts[1])

    assert told(right).startswith("Right.")
    assert "what comes out" in told(lambda a, b, x, *p: (1 - x) * embed_prompt(a, *p) + x * embed_prompt(b, *p))
    assert "swapped" in told(lambda a, b, x, *p: right(a, b, 1 - x, *p))
    assert "missing" in told(lambda a, b, x, *p: right(a, b, x, *p, positions=0))
    assert "twice" in told(lambda a, b, x, *p: right(a, b, x, *p, positions=2))
    assert "is the amount used" in told(lambda a, b, x, *p: embed_prompt(a, *p))
    assert "is the amount used" in told(lambda a, b, x, *p: embed_prompt(b, *p))
    assert "shape" in told(lambda a, b, x, *p: embed_prompt(a, *p)[0])
    assert "not the right ones" in told(lambda a, b, x, *p: right(a, b, x, *p) + 1)


def test_the_reference_leaves_the_encoder_as_it_was(capsys):
    from sd_helpers import picture_tower

    parts = picture_tower().tokenizer, picture_tower().text_encoder
    before = embed_prompt("a puppy", *parts)
    said(capsys, check.exercise_4, lambda *given: before)
    assert torch.equal(embed_prompt("a puppy", *parts), before)
