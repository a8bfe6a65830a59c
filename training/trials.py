"""What evaluation asks for: prompts, each with what its picture should show."""

import random
from dataclasses import dataclass, field

from sd_helpers.gallery import BACKGROUNDS, STYLES

from .captions import Captioner, with_article
from .data import HeldOut, Icons


@dataclass(frozen=True)
class Trial:
    """A prompt and what its picture should show; `owners` are further concepts that count as right, where a tag is shared."""

    concept: str
    label: str
    background: str
    style: str | None = None
    owners: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def prompt(self) -> str:
        words = f"{self.style} {self.label}" if self.style else self.label
        return f"{with_article(words)} on {with_article(self.background)} background"

    def right(self, concept: str) -> bool:
        return concept == self.concept or concept in self.owners


def label_trials(icons: Icons, count: int, seed: int) -> list[Trial]:
    """A seeded choice of labels on backgrounds, no style named; every concept comes up before one comes up again."""
    rng = random.Random(seed)
    labels = sorted({(n["concept"], n["label"]) for n in icons.names})
    rng.shuffle(labels)
    return [Trial(*labels[i % len(labels)], rng.choice(list(BACKGROUNDS))) for i in range(count)]


def tag_trials(icons: Icons, count: int, seed: int) -> list[Trial]:
    """Tags that captions use in place of a label; any concept that has the tag counts."""
    captioner, owners = Captioner(icons.names), {}
    for concept, tags in captioner.tags.items():
        for tag in tags:
            owners.setdefault(tag, set()).add(concept)
    rng = random.Random(seed)
    tags = sorted(owners)
    rng.shuffle(tags)
    return [Trial(min(owners[tag]), tag, rng.choice(list(BACKGROUNDS)), owners=frozenset(owners[tag])) for tag in tags[:count]]


def combination_trials(icons: Icons, held_out: HeldOut, count: int, seed: int, unseen: bool) -> list[Trial]:
    """Combinations of concept, style and background: those that were held out, or as many that were trained on."""
    triples = [
        Trial(n["concept"], n["label"], background, n["style"])
        for n in icons.names
        for background in BACKGROUNDS
        if (n["concept"], n["style"]) not in held_out.icons and held_out.allows(n, background) != unseen
    ]
    return random.Random(seed).sample(triples, min(count, len(triples)))


def icon_trials(icons: Icons, held_out: HeldOut) -> list[Trial]:
    """Concepts in the one style in which training never showed them, on three backgrounds."""
    unseen = [n for n in icons.names if (n["concept"], n["style"]) in held_out.icons]
    return [Trial(n["concept"], n["label"], b, n["style"]) for n in unseen for b in ("white", "blue", "yellow")]


def one_word_changed(trials: list[Trial], seed: int) -> dict[str, list[tuple[Trial, Trial]]]:
    """Pairs of prompts that differ in the thing, the style or the background alone; every trial must name a style."""
    rng = random.Random(seed)
    things = sorted({(t.concept, t.label) for t in trials})
    pairs = {"thing": [], "style": [], "background": []}
    for trial in trials:
        concept, label = rng.choice([x for x in things if x[0] != trial.concept])
        style = rng.choice([s for s in STYLES if s != trial.style])
        background = rng.choice([b for b in BACKGROUNDS if b != trial.background])
        pairs["thing"].append((trial, Trial(concept, label, trial.background, trial.style)))
        pairs["style"].append((trial, Trial(trial.concept, trial.label, trial.background, style)))
        pairs["background"].append((trial, Trial(trial.concept, trial.label, background, trial.style)))
    return pairs
