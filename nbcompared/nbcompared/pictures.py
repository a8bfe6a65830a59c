"""Compare two pictures or films as an eye would: structure and colour, overall and in the worst place."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageSequence
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

# Measured on photographs, icons, a sheet of 16 icons, latents, noise, a gradient and matplotlib figures. "Passes" is the
# worst of noise up to two levels, two levels brighter, a JPEG of quality 75 to 95 saved again, a plotted line a fraction
# of a pixel higher; "fails" the best of noise, channels swapped, 2 of 64 pixels aside, transposed, inverted, and one tile
# of 4 x 4 to 8 x 8 turned to noise.
LEAST_SIMILARITY = 0.92  # passes: 0.948; fails: up to 0.98 (a tile), which is why the worst place counts as well:
LEAST_LOCAL_SIMILARITY = 0.5  # passes: 0.56 (without JPEG 0.62); fails: 0.39, but for swapped colours of thin lines, 0.55
MOST_COLOUR = 2.5  # levels of 255; passes: 2.0
MOST_LOCAL_COLOUR = 12.0  # passes: 10.7 (without JPEG 5.4); fails: those thin lines with 24.5
# A place is a window of a twelfth of the shorter side, so that one tile of a large grid cannot hide in the mean.
WINDOWS, LEAST_WINDOW = 12, 8
SMALLEST = 64  # smaller pictures (latents) are enlarged: structural similarity looks at 7 x 7 pixels at a time


@dataclass
class Scores:
    """How alike two pictures are, each figure the worst of red, green and blue; colours in levels of 255."""

    similarity: float
    local_similarity: float
    colour: float
    local_colour: float

    def passed(self) -> bool:
        """Whether all four lie within their thresholds."""
        alike = self.similarity >= LEAST_SIMILARITY and self.local_similarity >= LEAST_LOCAL_SIMILARITY
        return alike and self.colour <= MOST_COLOUR and self.local_colour <= MOST_LOCAL_COLOUR

    @property
    def used(self) -> float:
        """The largest part of the four tolerances that is used: 0 for equal pictures, above 1 for those that differ."""
        return max(
            (1 - self.similarity) / (1 - LEAST_SIMILARITY),
            (1 - self.local_similarity) / (1 - LEAST_LOCAL_SIMILARITY),
            self.colour / MOST_COLOUR,
            self.local_colour / MOST_LOCAL_COLOUR,
        )

    def __str__(self) -> str:
        return (
            f"similarity {self.similarity:.3f} (at least {LEAST_SIMILARITY}), "
            f"in the worst place {self.local_similarity:.3f} (at least {LEAST_LOCAL_SIMILARITY}), "
            f"mean colour off by {self.colour:.1f} (at most {MOST_COLOUR}), "
            f"in the worst place {self.local_colour:.1f} (at most {MOST_LOCAL_COLOUR})"
        )


@dataclass
class PictureDifference:
    """Why two pictures differ, and the two themselves; of a film the first frame that differs."""

    why: str
    stored: np.ndarray
    fresh: np.ndarray


def picture_difference(stored: bytes, fresh: bytes) -> PictureDifference | None:
    """Compare two encoded pictures, or two films frame by frame; None where they agree.

    Raises PIL.UnidentifiedImageError if one of them is no picture that Pillow reads.
    """
    old, new = frames(stored), frames(fresh)
    if len(old) != len(new):
        return PictureDifference(f"{len(old)} frames were stored, there are {len(new)} now", old[0], new[0])
    for number, pair in enumerate(zip(old, new), start=1):
        if why := frame_difference(*pair):
            return PictureDifference(why if len(old) == 1 else f"frame {number} of {len(old)}: {why}", *pair)
    return None


def picture_used(stored: bytes, fresh: bytes) -> float:
    """The largest part of their tolerances that two encoded pictures, or two films of as many frames, use."""
    pairs = list(zip(frames(stored), frames(fresh)))
    return max((scores(old, new).used for old, new in pairs if not np.array_equal(old, new)), default=0.0)


def frames(data: bytes) -> list[np.ndarray]:
    """Every frame of an encoded picture or film, (H, W, 3) in levels of 255, laid on white."""
    with Image.open(io.BytesIO(data)) as film:
        return [on_white(frame) for frame in ImageSequence.Iterator(film)]


def on_white(picture: Image.Image) -> np.ndarray:
    """Any mode of picture as RGB: what is transparent shows the white page behind it."""
    layer = picture.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    return np.array(Image.alpha_composite(page, layer).convert("RGB"))


def frame_difference(stored: np.ndarray, fresh: np.ndarray) -> str | None:
    """Why two (H, W, 3) pictures differ; None where they agree."""
    if stored.shape != fresh.shape:
        (old_height, old_width), (height, width) = stored.shape[:2], fresh.shape[:2]
        return f"{old_width} x {old_height} pixels were stored, {width} x {height} now"
    if np.array_equal(stored, fresh):  # the common case on one machine, and much faster
        return None
    found = scores(stored, fresh)
    return None if found.passed() else str(found)


def scores(stored: np.ndarray, fresh: np.ndarray) -> Scores:
    """Structural similarity and colour error of two (H, W, 3) pictures, per channel, overall and in the worst window."""
    old, new = (enlarge(picture).astype(float) for picture in (stored, fresh))
    _, similarity = structural_similarity(old, new, channel_axis=2, data_range=255, full=True)  # (H, W, 3)
    side = max(LEAST_WINDOW, min(old.shape[:2]) // WINDOWS)
    return Scores(
        similarity=similarity.mean((0, 1)).min(),
        local_similarity=in_windows(similarity, side).min(),
        colour=np.abs((old - new).mean((0, 1))).max(),
        local_colour=np.abs(in_windows(old - new, side)).max(),
    )


def in_windows(values: np.ndarray, side: int) -> np.ndarray:
    """The mean of (H, W, 3) values in every window of `side` pixels that lies wholly inside, channel by channel."""
    means = uniform_filter(values, (side, side, 1))
    first, (height, width) = side // 2, values.shape[:2]  # uniform_filter centres its windows here
    return means[first : first + height - side + 1, first : first + width - side + 1]


def enlarge(picture: np.ndarray) -> np.ndarray:
    """A picture of at least SMALLEST pixels a side: every pixel becomes a square of them."""
    times = -(-SMALLEST // min(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)
