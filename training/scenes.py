"""Training pictures in which things have places. `Scenes.caption` says a `Scene`, in new words each time; `compose` draws it."""

import random
import string
from dataclasses import dataclass, replace

from sd_helpers.gallery import BACKGROUNDS

from .captions import FRAMES, ON_BACKGROUND, STYLED, Captioner, with_article
from .data import BACKGROUND_NAMES, HeldOut, Icons

SHARES = {  # of square scenes; wide ones are pairs, rows of one kind, or one thing somewhere
    False: {"placed": 0.3, "coloured": 0.25, "pair": 0.25, "several": 0.2},
    True: {"pair": 0.75, "several": 0.15, "placed": 0.1},
}
NUMBERS = {2: "two", 3: "three", 4: "four"}
COLUMN_WORDS, ROW_WORDS = ("on the left", "", "on the right"), ("at the top", "", "at the bottom")
CORNERS = "in the {row} {column} corner"
SMALL, BIG = ("small", "little", "tiny"), ("big", "large", "huge")
# Grounds that have a name of their own, when no colour is said.
SETTINGS = {"black": ("at night", "in the dark"), "white": ("in the snow",), "green": ("on the grass",), "blue": ("in the sky",)}
# Most say first what stands on the left or at the top, also where they name no side: so the order of the words has a meaning,
# from which that of "left" and "right" can be learned. (While captions named things in any order, sides were not learned at all.)
SIDES = (
    *["{a} to the left of {b}"] * 2,
    *["{a} on the left and {b} on the right"] * 2,
    "on the left {a}, on the right {b}",
    "{b} to the right of {a}",
    "{b} on the right and {a} on the left",
)
NO_SIDES = (*["{a} and {b}"] * 5, "{a} beside {b}", "{a} next to {b}", "{a} with {b}", "{b} and {a}")
STACKED = ("{a} above {b}", "{b} below {a}", "{a} at the top and {b} at the bottom")
# All that captions of scenes say beside the names of things.
PHRASES = (
    *NUMBERS.values(), *COLUMN_WORDS, *ROW_WORDS, CORNERS, *SMALL, *BIG, *SIDES, *NO_SIDES, *STACKED,
    *(words for setting in SETTINGS.values() for words in setting),
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """An icon somewhere: its centre and its side, as shares of the canvas's height, and the colour it is recoloured to."""

    icon: int
    x: float = 0.5
    y: float = 0.5
    side: float = 1.0
    colour: str | None = None


@dataclass(frozen=True)
class Scene:
    """What a picture shows: `kind` is one of `SHARES`, `size` a word for how large the thing is, if one is needed."""

    kind: str
    things: tuple[Thing, ...]
    background: str
    wide: bool = False
    stacked: bool = False
    size: tuple[str, ...] = ()

    @property
    def exchanged(self) -> "Scene":
        """The same two things, each in the other's place."""
        first, second = self.things
        return replace(self, things=(replace(first, icon=second.icon), replace(second, icon=first.icon)))


@dataclass(frozen=True)
class Said:
    """A caption, and where in it things are named: from letter to letter, without articles, and which of the scene's things."""

    text: str
    names: tuple[tuple[int, int, tuple[Thing, ...]], ...] = ()

    @classmethod
    def of(cls, form: str, **nouns) -> "Said":
        """A `form` such as "{a} beside {b}", filled in with a noun and its things for each letter."""
        text, names = "", []
        for words, letter, _, _ in string.Formatter().parse(form):
            text += words
            if letter:
                noun, things = nouns[letter]
                begin = len(text) + len(noun) - len(noun.removeprefix("a ").removeprefix("an "))
                text += noun
                names.append((begin, len(text), things))
        return cls(text, tuple(names))

    def __add__(self, words: str) -> "Said":
        return Said(self.text + words, self.names)


class Scenes:
    """Describes scenes of the icons that training may show.

    Args:
        icons: all of those the model learns.
        held_out: of which no icon and no combination with a background appears.
    """

    def __init__(self, icons: Icons, held_out: HeldOut):
        self.icons, self.held_out = icons, held_out
        self.pool = icons.indices(held_out).tolist()
        self.captioner = Captioner(icons.names)
        self.by_style = {}
        for i in self.pool:
            self.by_style.setdefault(icons.names[i]["style"], []).append(i)

    def draw(self, rng: random.Random, wide: bool) -> Scene:
        """A random scene on a canvas as high as it is wide, or twice as wide."""
        while True:
            kinds = SHARES[wide]
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            background = rng.choice(BACKGROUND_NAMES) if rng.random() < 0.75 else "white"
            scene = getattr(self, f"_{kind}")(rng, background, wide)
            if all(self.held_out.allows(self.icons.names[thing.icon], background) for thing in scene.things):
                return scene

    def companion(self, icon: int, background: str, rng: random.Random) -> int:
        """Another icon that may stand beside this one, mostly of its style."""
        while True:
            other = rng.choice(self.by_style[self.icons.names[icon]["style"]] if rng.random() < 0.85 else self.pool)
            if other != icon and self.held_out.allows(self.icons.names[other], background):
                return other

    def _placed(self, rng, background, wide):
        column, row, width = rng.randrange(3), rng.randrange(3), 2.0 if wide else 1.0
        side = rng.uniform(0.75, 1.0) if wide else rng.choice((rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.8)))
        x, y = (_place(share, side, length) for share, length in ((column, width), (1 if wide else row, 1.0)))
        size = SMALL if side < 0.5 else BIG if side > 0.7 and not wide else ()
        return Scene("placed", (Thing(rng.choice(self.pool), x, y, side),), background, wide, size=size)

    def _coloured(self, rng, background, wide):
        colour = rng.choice([name for name in BACKGROUND_NAMES if name != background])
        side = rng.choice((1.0, 1.0, rng.uniform(0.5, 0.9)))
        return Scene("coloured", (Thing(rng.choice(self.pool), side=side, colour=colour),), background, wide)

    def _pair(self, rng, background, wide):
        first = rng.choice(self.by_style[rng.choice(list(self.by_style))])
        icons = first, self.companion(first, background, rng)
        colours = [None, None]
        if rng.random() < 0.3:
            some = rng.sample([name for name in BACKGROUND_NAMES if name != background], 2)
            colours = rng.choice((some, [some[0], None], [None, some[1]]))
        stacked = not wide and rng.random() < 0.2
        side = rng.uniform(0.85, 1.0) if wide else rng.uniform(0.44, 0.54)
        near, far = (0.5, 1.5) if wide else (0.26, 0.74)
        across = 0.5 if wide else 0.5 + rng.uniform(-0.1, 0.1)
        places = [(across, near), (across, far)] if stacked else [(near, across), (far, across)]
        return Scene(
            "pair",
            tuple(Thing(i, x, y, side, colour) for i, (x, y), colour in zip(icons, places, colours, strict=True)),
            background, wide, stacked,
        )  # fmt: skip

    def _several(self, rng, background, wide):
        count, icon = rng.choice((2, 3) if wide else (2, 3, 4)), rng.choice(self.pool)
        colour = rng.choice([name for name in BACKGROUND_NAMES if name != background]) if rng.random() < 0.2 else None
        if wide:
            places, side = [((i + 0.5) * 2 / count, 0.5) for i in range(count)], 0.95 if count == 2 else 0.65
        else:
            grid = {2: ((0.26, 0.5), (0.74, 0.5)), 3: ((0.5, 0.26), (0.26, 0.74), (0.74, 0.74))}
            grid[4] = ((0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74))
            places, side = grid[count], rng.uniform(0.42, 0.5)
        return Scene("several", tuple(Thing(icon, x, y, side, colour) for x, y in places), background, wide)

    def caption(self, scene: Scene, rng: random.Random) -> str:
        """What a person might type for a scene, parts left out at random."""
        return self.said(scene, rng).text

    def said(self, scene: Scene, rng: random.Random) -> Said:
        """The same, with the places of the names in it."""
        text = getattr(self, f"_say_{scene.kind}")(scene, rng)
        if rng.random() < 0.65:
            return text + rng.choice(ON_BACKGROUND).format(colour=scene.background, a_colour=with_article(scene.background))
        if scene.background in SETTINGS and rng.random() < 0.3:
            return text + f" {rng.choice(SETTINGS[scene.background])}"
        return text

    def _noun(self, thing: Thing, rng, size: tuple[str, ...] = (), styled: float = 0.25, plural: bool = False) -> str:
        """ "fox", "small glossy fox", "blue apples": no article."""
        record = self.icons.names[thing.icon]
        word = self.captioner.word(record, rng, tagged=False)  # "an animal and a food" would name nothing
        if thing.colour:
            first, _, rest = word.partition(" ")
            word = f"{thing.colour} {rest if rest and first in BACKGROUNDS else word}"
        if plural:
            word = plural_of(word)
        if rng.random() < styled:
            word = f"{record['style']} {word}" if plural else rng.choice(STYLED).format(style=record["style"], word=word)
        return f"{rng.choice(size)} {word}" if size and rng.random() < 0.8 else word

    def _say_placed(self, scene, rng):
        (thing,) = scene.things
        width = 2.0 if scene.wide else 1.0
        column, row = COLUMN_WORDS[_third(thing.x, width)], ROW_WORDS[_third(thing.y, 1.0)]
        where = " ".join(filter(None, (row, column)))
        if row and column and rng.random() < 0.5:
            where = CORNERS.format(row=row.split()[-1], column=column.split()[-1])
        text = with_article(self._noun(thing, rng, scene.size))
        return Said.of(f"{{a}} {where}" if where and rng.random() < 0.8 else "{a}", a=(text, scene.things))

    def _say_coloured(self, scene, rng):
        noun = self._noun(scene.things[0], rng)
        return Said.of(rng.choice(FRAMES), a=(with_article(noun), scene.things), bare=(noun, scene.things))

    def _say_pair(self, scene, rng):
        styled = rng.choice((0, 0, 0.5, 1))
        a, b = (with_article(self._noun(thing, rng, styled=styled)) for thing in scene.things)
        forms = STACKED if scene.stacked and rng.random() < 0.7 else NO_SIDES if scene.stacked or rng.random() < 0.4 else SIDES
        return Said.of(rng.choice(forms), a=(a, scene.things[:1]), b=(b, scene.things[1:]))

    def _say_several(self, scene, rng):
        noun = self._noun(scene.things[0], rng, plural=True)
        return Said.of(NUMBERS[len(scene.things)] + " {a}", a=(noun, scene.things))


def _place(share: int, side: float, length: float) -> float:
    """The centre of a thing at the beginning (0), in the middle (1) or at the end (2) of the canvas."""
    return (side / 2 + 0.02, length / 2, length - side / 2 - 0.02)[share]


def _third(at: float, length: float) -> int:
    """0, 1 or 2 for a centre before, near or after the middle."""
    return 1 if abs(at - length / 2) < 0.06 else 0 if at < length / 2 else 2


def plural_of(words: str) -> str:
    """ "cherry" -> "cherries", "glass of milk" -> "glasses of milk"."""
    head, of, rest = words.partition(" of ")
    if head.endswith(("s", "x", "ch", "sh")):
        head += "es" if not head.endswith(("glasses", "jeans", "scissors", "ies", "cakes", "grapes", "fries")) else ""
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    elif head.endswith("man"):
        head = head[:-3] + "men"
    else:
        head += "s"
    return head + of + rest
