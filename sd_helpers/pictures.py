"""Pictures as people bring them: the one place where anything becomes RGB, a mask, or a size."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, ImageOps

from .arguments import kind_of, several, two_numbers, whole_number

LARGEST = 2**15  # pixels a side
DRAWN = 128  # level of a mask from which a pixel is drawn


def to_rgb(image, argument: str = "image") -> Image.Image:
    """A picture as upright RGB: turned as its EXIF says, transparency on white, 16 bits and floats of 0 to 1 brought to 8 bits.

    Args:
        image: a PIL picture of any mode, or a path to one.
        argument: what a message calls it.

    Raises:
        ValueError: neither of the two, a file that is no picture, or values that are not finite.
        FileNotFoundError: no such file.
    """
    image = _upright(image, argument)
    if image.mode.startswith("I") or image.mode == "F":  # PIL clips these at 255 instead of scaling them
        image = Image.fromarray(_eight_bits(np.asarray(image), argument))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_mask(mask, size: tuple[int, int] | None = None, argument: str = "mask") -> Image.Image:
    """A mask as a picture of mode "L", 255 where to draw and 0 where to keep; what lies between stays between.

    What is painted is drawn: where a mask is transparent somewhere, its opacity counts, and no colour; otherwise its brightness.

    Args:
        mask: a PIL picture of any mode, a path to one, or numbers (H, W) as an array or a tensor: true and false, 0 to 1, 0 to
            255, or 16 bits.
        size: (width, height) that it must have.
        argument: what a message calls it.

    Raises:
        ValueError: something else, another size, or values that are not finite.
        FileNotFoundError: no such file.
    """
    if hasattr(mask, "detach"):  # a tensor, on any device
        mask = mask.detach().cpu()
        mask = mask.float().numpy() if mask.is_floating_point() else mask.numpy()
    if isinstance(mask, np.ndarray):
        if mask.ndim != 2 or 0 in mask.shape:
            raise ValueError(f"{argument} has the shape {mask.shape}: give one number for each pixel, (height, width).")
        mask = Image.fromarray(_eight_bits(mask, argument))
    else:
        mask = _upright(mask, argument)
        if mask.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in mask.info:
            opacity = mask.convert("RGBA").getchannel("A")
            mask = opacity if opacity.getextrema()[0] < 255 else mask.convert("RGB").convert("L")
        elif mask.mode.startswith("I") or mask.mode == "F":
            mask = Image.fromarray(_eight_bits(np.asarray(mask), argument))
        mask = mask.convert("L")
    if size is not None and mask.size != two_numbers("size", size):
        raise ValueError(f"{argument} has the size {mask.size} (width, height), but the image {tuple(size)}: they must agree.")
    return mask


def drawn(mask: Image.Image) -> np.ndarray:
    """Where a mask draws, (H, W), true or false."""
    return np.asarray(mask) >= DRAWN


def fitted(image, height: int, width: int, argument: str = "image") -> Image.Image:
    """Any picture as RGB of that size, its middle cropped to the shape; arguments and errors as in `to_rgb`."""
    height, width = whole_number("height", height, 1, LARGEST), whole_number("width", width, 1, LARGEST)
    return ImageOps.fit(to_rgb(image, argument), (width, height), Image.Resampling.LANCZOS)


def all_rgb(pictures, argument: str = "pictures") -> list[Image.Image]:
    """Several pictures, each as `to_rgb` gives it.

    Raises:
        ValueError: no list of pictures, or an empty one.
    """
    if isinstance(pictures, (Image.Image, str, os.PathLike)):
        raise ValueError(f"{argument} must be a list of pictures, not {kind_of(pictures)}; put one into a list: [{argument}].")
    found = [to_rgb(picture, argument) for picture in several(argument, pictures)]
    if not found:
        raise ValueError(f"{argument} is empty: give at least one picture.")
    return found


def _upright(image, argument: str) -> Image.Image:
    """The picture, read from its file if need be, turned and mirrored as its EXIF says."""
    if isinstance(image, (str, os.PathLike)):
        image = _opened(image, argument)
    if not isinstance(image, Image.Image):
        raise ValueError(
            f"{argument} must be a picture (PIL.Image.Image) or the path of one, not {kind_of(image)}; an array of 0 to 255, "
            "(height, width, 3), becomes one by PIL.Image.fromarray(array)."
        )
    if 0 in image.size:
        raise ValueError(f"{argument} is {image.size} pixels (width, height): there is nothing in it.")
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:  # a file that is cut short is found out only when it is read
        raise ValueError(f"{argument} cannot be read to its end ({error}): save or download it again.") from error


def _opened(path, argument: str) -> Image.Image:
    """The picture in a file."""
    path = os.path.expanduser(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{argument}={path!r}: there is no such file.")
    try:
        with Image.open(path) as file:
            file.load()
            return file
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{argument}={path!r} is not a picture that can be read ({error}); use a PNG, JPEG or WebP.") from error


def _eight_bits(levels: np.ndarray, argument: str) -> np.ndarray:
    """Numbers (H, W) as levels of 0 to 255: those of 0 to 1 and those of 16 bits are scaled."""
    if levels.dtype.kind not in "biuf":
        raise ValueError(f"{argument} holds {levels.dtype}: give numbers of 0 to 255, or of 0 to 1.")
    sixteen = levels.dtype.kind == "u" and levels.dtype.itemsize == 2  # in either order of bytes; 32 bits may hold either range
    levels = levels.astype(np.float64)
    if not np.isfinite(levels).all():
        raise ValueError(f"{argument} holds values that are no finite numbers (nan or inf).")
    highest = levels.max()
    scale = 1 / 257 if highest > 255 or (sixteen and highest > 1) else 1 if highest > 1 else 255
    return (levels * scale).clip(0, 255).round().astype(np.uint8)
