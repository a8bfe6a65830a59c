"""The checks of notebook 11 tell right answers from wrong ones."""

import pytest
import torch

from sd_helpers.exercises import own_word as check


@pytest.fixture
def said(capsys):
    def run(exercise, *answer) -> str:
        exercise(*answer)
        return capsys.readouterr().out

    return run


def share(components, parts=("text_encoder", "unet", "vae")):
    row = components.text_encoder.get_input_embeddings().weight.shape[1]
    return row / sum(p.numel() for part in parts for p in getattr(components, part).parameters())


def test_exercise_1(said):
    def told(answer):
        return said(check.exercise_1, answer)

    def rows(components):
        return components.text_encoder.get_input_embeddings()

    assert "Not answered" in told(lambda c: ...) and "Not answered" in told(...)
    assert told(share).startswith("Right.")
    assert told(lambda c: share(c) * c.text_encoder.config.hidden_size / rows(c).embedding_dim).startswith("Right.")
    assert "per cent" in told(lambda c: 100 * share(c))
    assert "the vae is missing" in told(lambda c: share(c, ("text_encoder", "unet")))
    assert "unet alone" in told(lambda c: share(c, ("unet",)))
    assert "Upside down" in told(lambda c: 1 / share(c))
    assert "whole table" in told(lambda c: share(c) * rows(c).num_embeddings)
    assert "That is how many" in told(lambda c: rows(c).embedding_dim)
    assert "counts the rows" in told(lambda c: share(c) * rows(c).num_embeddings / rows(c).embedding_dim)
    for wrong in (lambda c: None, lambda c: "a", lambda c: 0.5, lambda c: 1 / 0):
        assert "Not yet" in told(wrong)


def test_exercise_1_holds_for_the_model(said, components):
    assert 0 < share(components) < 1e-4


def mix(first, second, amount):
    a, b = first.norm(), second.norm()
    mixed = (1 - amount) * first / a + amount * second / b
    return mixed / mixed.norm() * ((1 - amount) * a + amount * b)


def test_exercise_2(said):
    def told(answer):
        return said(check.exercise_2, answer)

    assert "Not answered" in told(lambda first, second, amount: ...)
    assert told(mix).startswith("Right.")
    assert "swapped" in told(lambda first, second, amount: mix(second, first, amount))
    assert "plain mean" in told(lambda first, second, amount: (1 - amount) * first + amount * second)
    assert "the direction is right" in told(lambda *a: mix(*a) / mix(*a).norm())
    assert "Not yet" in told(lambda *a: mix(*a)[0]) and "Not yet" in told(lambda *a: 1.0)


def test_exercise_3(said):
    def told(answer):
        return said(check.exercise_3, answer)

    assert "Not answered" in told(lambda x, W, A, B, alpha: ...)
    assert told(lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * x @ A.T @ B.T).startswith("Right.")
    assert "factor is missing" in told(lambda x, W, A, B, alpha: x @ W.T + x @ A.T @ B.T)
    assert "own x W^T is missing" in told(lambda x, W, A, B, alpha: alpha / len(A) * x @ A.T @ B.T)
    assert "Divide alpha" in told(lambda x, W, A, B, alpha: x @ W.T + alpha * x @ A.T @ B.T)
    assert "not r / alpha" in told(lambda x, W, A, B, alpha: x @ W.T + len(A) / alpha * x @ A.T @ B.T)
    assert "two thin matrices" in told(lambda x, W, A, B, alpha: x @ W.T)
    for wrong in (lambda *a: 3, lambda *a: None, lambda x, W, *a: (x @ W.T).T, lambda x, W, A, B, alpha: x @ W):
        assert "Not yet" in told(wrong)


def copied(drawings, trained, unseen):
    return (torch.cdist(drawings, trained).amin(1) < torch.cdist(drawings, unseen).amin(1) / 2).float().mean()


def test_exercise_4(said):
    def told(answer):
        return said(check.exercise_4, answer)

    assert "Not answered" in told(lambda *a: ...)
    assert told(copied).startswith("Right.")
    assert "how many" in told(lambda *a: copied(*a) * len(a[0]))
    assert "per cent" in told(lambda *a: 100 * copied(*a))
    assert "swapped" in told(lambda d, t, u: copied(d, u, t))
    assert "not copied" in told(lambda *a: 1 - copied(*a))
    near = lambda d, t, u: (torch.cdist(d, t).amin(1), torch.cdist(d, u).amin(1))  # noqa: E731
    assert "less than half" in told(lambda *a: float((near(*a)[0] < near(*a)[1]).float().mean()))
    assert "a quarter" in told(lambda *a: float((near(*a)[0] ** 2 < near(*a)[1] ** 2 / 2).float().mean()))
    assert "not the mean" in told(
        lambda d, t, u: float((torch.cdist(d, t).mean(1) < torch.cdist(d, u).mean(1) / 2).float().mean())
    )
    for wrong in (lambda *a: None, lambda *a: -1, lambda *a: 1 / 0):
        assert "Not yet" in told(wrong)
