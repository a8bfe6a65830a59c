"""The checks of notebook 14's exercises: right answers, wrong ones with their hints, and open ones."""

import pytest
import torch

from sd_helpers.exercises import backwards as check


def soft_mask(white, factor):
    return torch.nn.functional.avg_pool2d(white[None, None], factor)


def fresh(level=lambda i: i + 1, flipped=False, clean=False, once=False, bare=False, power=1):
    def fresh_outside(mask, known, sigmas, generator):
        first = torch.randn(known.shape, generator=generator) if once else None

        def on_step(step):
            noise = first if once else torch.randn(known.shape, generator=generator)
            back = (0 if bare else known) + (0 if clean else sigmas[level(step.index)] ** power * noise)
            inside = 1 - mask if flipped else mask
            return inside * step.latents + (1 - inside) * back

        return on_step

    return fresh_outside


def move(x, noise_pred, level_from, level_to):
    x0 = (x - (1 - level_from).sqrt() * noise_pred) / level_from.sqrt()
    return level_to.sqrt() * x0 + (1 - level_to).sqrt() * noise_pred


def careful(more=0, onward=False, exchanged=False):
    def careful_step(predict, latents, level_from, level_to, rounds):
        levels = (level_to, level_from) if exchanged else (level_from, level_to)
        reached = latents
        for _ in range(max(1, rounds + 1 + more)):
            reached = move(reached if onward else latents, predict(reached), *levels)
        return reached

    return careful_step


def replay(place, flipped=False):
    def replay_outside(mask, path):
        inside = 1 - mask if flipped else mask
        return lambda step: inside * step.latents + (1 - inside) * path[place(len(path), step.index)]

    return replay_outside


RIGHT = {
    "exercise_2": soft_mask,
    "exercise_3": fresh(),
    "exercise_1": careful(),
    "exercise_4": replay(lambda length, i: length - 2 - i),
}
OPEN = {
    "exercise_2": lambda white, factor: ...,
    "exercise_3": lambda *given: lambda step: ...,
    "exercise_1": lambda *given: ...,
    "exercise_4": lambda *given: lambda step: ...,
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_and_open(name, capsys):
    exercise = getattr(check, name)
    exercise(RIGHT[name])
    assert capsys.readouterr().out.startswith("Right. ")
    for answer in (..., lambda *given: ..., OPEN[name]):
        exercise(answer)
        assert capsys.readouterr().out.startswith("Not answered yet")


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("exercise_2", lambda w, f: torch.nn.functional.max_pool2d(w[None, None], f), "maximum"),
        ("exercise_2", lambda w, f: w[::f, ::f][None, None], "one pixel"),
        ("exercise_2", lambda w, f: soft_mask(w, f) * f**2, "number of white pixels"),
        ("exercise_2", lambda w, f: soft_mask(1 - w, f), "share of black"),
        ("exercise_2", lambda w, f: soft_mask(w, f) * f, "factor * factor"),
        ("exercise_2", lambda w, f: soft_mask(w, f)[0, 0], "leading dimensions"),
        ("exercise_2", lambda w, f: w, "Its shape"),
        ("exercise_2", lambda w, f: None, "None"),
        ("exercise_2", lambda w: w, "raised TypeError"),
        ("exercise_3", fresh(level=lambda i: i), "step.index + 1"),
        ("exercise_3", fresh(flipped=True), "wrong way round"),
        ("exercise_3", fresh(clean=True), "without noise"),
        ("exercise_3", fresh(once=True), "first step comes again"),
        ("exercise_3", fresh(bare=True), "known latents are missing"),
        ("exercise_3", fresh(power=2), "standard deviations already"),
        ("exercise_3", fresh(level=lambda i: i + 2), "raised IndexError|index 0"),
        ("exercise_3", lambda *given: None, "return on_step"),
        ("exercise_3", lambda *given: lambda step: None, "None"),
        ("exercise_1", careful(more=-99), "plain step"),
        ("exercise_1", careful(more=1), "too many"),
        ("exercise_1", careful(more=-1), "plain step|too few"),
        ("exercise_1", careful(onward=True), "start from below"),
        ("exercise_1", careful(exchanged=True), "exchanged"),
        ("exercise_1", lambda *given: None, "None"),
        ("exercise_4", replay(lambda length, i: length - 1 - i), "too noisy"),
        ("exercise_4", replay(lambda length, i: i), "count from its end"),
        ("exercise_4", replay(lambda length, i: i + 1), "count from its end"),
        ("exercise_4", replay(lambda length, i: max(0, length - 3 - i)), "too clean"),
        ("exercise_4", replay(lambda length, i: length - 2 - i, flipped=True), "wrong way round"),
        ("exercise_4", lambda mask, path: path[0], "return on_step"),
    ],
)
def test_wrong(name, answer, hint, capsys):
    getattr(check, name)(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and any(part in said for part in hint.split("|")), said
