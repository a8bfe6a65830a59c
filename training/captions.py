"""Captions: what a person might type for an icon of a style on a background, in varied words with parts left out."""

import json
import random
from pathlib import Path

SYNONYMS = json.loads((Path(__file__).parent / "synonyms.json").read_text())

FRAMES = [
    "{a}",
    "{a}",
    "{bare}",
    "a picture of {a}",
    "a picture of {a}",
    "a photo of {a}",
    "a drawing of {a}",
    "an icon of {a}",
    "an emoji of {a}",
]
STYLED = ["{style} {word}", "{style} {word}", "{word}, {style} style", "{word} in {style} style"]
ON_BACKGROUND = [" on {a_colour} background", " on {a_colour} background", " on {a_colour} background",
                 " on {colour}", ", {colour} background", " in front of {a_colour} background"]  # fmt: skip


class Captioner:
    """Makes captions for a set of icon records, so that a word of one concept is never a mere tag of another."""

    def __init__(self, names: list[dict]):
        owners: dict[str, set[str]] = {}
        for n in names:
            for word in {n["label"], *SYNONYMS.get(n["concept"], [])}:
                owners.setdefault(word, set()).add(n["concept"])
        # "puppy" tags the pleading face, "rocket" the astronaut: such tags would teach the wrong picture.
        self.tags = {n["concept"]: [t for t in n["tags"] if t not in owners] for n in names}

    def word(self, name: dict, rng: random.Random, tagged: bool = True) -> str:
        """A word for the concept: mostly its label, else a synonym of ours, else, if `tagged`, one of emojibase's tags."""
        synonyms, tags = SYNONYMS.get(name["concept"], []), self.tags[name["concept"]] if tagged else []
        kind = rng.random()
        if synonyms and kind < 0.35:
            return rng.choice(synonyms)
        if tags and kind > 0.85:
            return rng.choice(tags)
        return name["label"]

    def caption(self, name: dict, background: str | None, rng: random.Random, style_chance=0.5) -> str:
        """A caption for an icon record; `background` None leaves the colour unsaid."""
        word = self.word(name, rng)
        if rng.random() < style_chance:
            word = rng.choice(STYLED).format(style=name["style"], word=word)
        text = rng.choice(FRAMES).format(a=with_article(word), bare=word)
        return text + (
            rng.choice(ON_BACKGROUND).format(colour=background, a_colour=with_article(background)) if background else ""
        )


def with_article(words: str) -> str:
    """ "apple" -> "an apple"."""
    return ("an " if words[0] in "aeiou" else "a ") + words
