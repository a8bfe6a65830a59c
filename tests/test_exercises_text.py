"""The checks of notebook 03's exercises: what is right is told so, and what is wrong gets a hint that fits."""

import pytest
import torch

from sd_helpers import embed_prompt
from sd_helpers.checks import OPEN
from sd_helpers.exercises import text as check


def said(capsys, exercise, *answer) -> str:
    exercise(*answer)
    return capsys.readouterr().out.strip()


def pieces(components, prompt) -> int:
    return len(components.tokenizer.tokenize(prompt, verbose=False))


@pytest.mark.parametrize("exercise", [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4])
def test_open_answers(capsys, components, exercise):
    more = (components,) if exercise in (check.exercise_1, check.exercise_4) else ()
    assert said(capsys, exercise, lambda *given: ..., *more) == OPEN
    assert said(capsys, exercise, ..., *more) == OPEN


@pytest.mark.parametrize("exercise", [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4])
@pytest.mark.parametrize("value", [None, "seven", [], {}])
def test_useless_answers(capsys, components, exercise, value):
    more = (components,) if exercise in (check.exercise_1, check.exercise_4) else ()
    assert said(capsys, exercise, lambda *given: value, *more).startswith("Not yet.")


def test_positions_used(capsys, components):
    def told(count):
        return said(capsys, check.exercise_1, count, components)

    assert told(lambda prompt: min(75, pieces(components, prompt))).startswith("Right.")
    assert told(lambda prompt: torch.tensor(min(75, pieces(components, prompt)))).startswith("Right.")
    assert "Start and end" in told(lambda prompt: min(77, pieces(components, prompt) + 2))
    assert "padding" in told(lambda prompt: 77)
    assert "cut off" in told(lambda prompt: pieces(components, prompt))
    assert "count tokens" in told(lambda prompt: min(75, len(prompt.split())))
    assert "It should be" in told(lambda prompt: 3)
    assert "ZeroDivisionError" in told(lambda prompt: 1 / 0)


def test_causal_mask(capsys):
    def told(mask):
        return said(capsys, check.exercise_2, mask)

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


def test_embed_between(capsys, components):
    tokenizer, text_encoder = components.tokenizer, components.text_encoder

    def told(embed):
        return said(capsys, check.exercise_4, embed, components)

    def embed(prompt):
        return embed_prompt(prompt, tokenizer, text_encoder)

    def right(first, second, amount, positions=1.0):
        ids = tokenizer([first, second], padding="max_length", max_length=77, return_tensors="pt").input_ids
        rows = text_encoder.get_input_embeddings()(ids)  # (2, 77, D)
        mixed = (1 - amount) * rows[:1] + amount * rows[1:]
        mixed = mixed + positions * text_encoder.embeddings.position_embedding.weight
        hidden = torch.full((77, 77), float("-inf")).triu(1)
        states = text_encoder.encoder(inputs_embeds=mixed, attention_mask=hidden[None, None])
        return text_encoder.final_layer_norm(states.last_hidden_state)

    assert told(right).startswith("Right.")
    assert "what comes out" in told(lambda a, b, amount: (1 - amount) * embed(a) + amount * embed(b))
    assert "swapped" in told(lambda a, b, amount: right(a, b, 1 - amount))
    assert "missing" in told(lambda a, b, amount: right(a, b, amount, positions=0))
    assert "twice" in told(lambda a, b, amount: right(a, b, amount, positions=2))
    assert "is the amount used" in told(lambda a, b, amount: embed(a))
    assert "is the amount used" in told(lambda a, b, amount: embed(b))
    assert "shape" in told(lambda a, b, amount: embed(a)[0])
    assert "not the right ones" in told(lambda a, b, amount: right(a, b, amount) + 1)


def test_the_reference_leaves_the_encoder_as_it_was(capsys, components):
    before = embed_prompt("a puppy", components.tokenizer, components.text_encoder)
    said(capsys, check.exercise_4, lambda a, b, amount: before, components)
    assert torch.equal(embed_prompt("a puppy", components.tokenizer, components.text_encoder), before)
