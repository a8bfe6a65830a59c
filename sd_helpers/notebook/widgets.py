"""Explorers: controls over a function whose result is redrawn when they move.

The result is an ordinary output under the controls, so a saved notebook still shows it when no kernel runs, and the tests compare
it like any other. The function itself knows nothing of widgets.
"""

from __future__ import annotations

import asyncio
import io
import time
import warnings
from collections.abc import Callable

import ipywidgets
from IPython.display import Pretty, display
from PIL import Image

WAIT = 0.15  # seconds without a movement before a redraw


class Explorer:
    """Controls and what a function makes of their values.

    Movements are collected: a redraw begins when the controls have rested for a moment, and takes their values of
    that moment, so that a quick drag costs one redraw, not one for every position it passed.

    Args:
        draw: called with the controls' values by name; returns one thing to display, or a tuple of a fixed number of things.
            A string is shown as plain text. What it raises is shown in the status line, and the last result stays.
        controls: ipywidgets by name, such as `ipywidgets.IntSlider(10, 0, 50)`. Those without a description get their name.
    """

    def __init__(self, draw: Callable, **controls):
        self.draw, self.controls = draw, controls
        self.status = ipywidgets.HTML(value=_status("ready"))
        self.outputs, self.timer, self.loop = None, None, None
        for name, control in controls.items():
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "11em"
            control.layout.width = control.layout.width or "34em"
            if hasattr(control, "continuous_update"):
                # While one types, half a word is no prompt; while one drags, every rest is a wish.
                control.continuous_update = not isinstance(control, (ipywidgets.Text, ipywidgets.Textarea))
            control.observe(self._moved, names="value")
        self.box = ipywidgets.VBox([*controls.values(), self.status])
        self.box.add_class("sd-explorer")

    def show(self) -> Explorer:
        """Display the controls and the first result."""
        self.loop = _running_loop()
        display_widget(self.box, "(run this cell for its controls)")
        results, said = self._results()
        self.outputs = [display(_shown(result), display_id=True) for result in results]
        self.status.value = _status(f"ready{said}")
        return self

    def redraw(self) -> None:
        """Draw anew with the controls' present values."""
        self.status.value = _status("drawing ...")
        began = time.perf_counter()
        try:
            results, said = self._results()
        except Exception as error:  # a learner's function may raise anything; the line says it, the explorer goes on
            self.status.value = _status(f"{type(error).__name__}: {error}", "alert")
            return
        for output, result in zip(self.outputs, results, strict=True):
            output.update(_shown(result))
        self.status.value = _status(f"ready, drawn in {time.perf_counter() - began:.1f} s{said}")

    def _results(self) -> tuple[tuple, str]:
        """What `draw` returns for the controls' values, and the warnings it gave, as text."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            result = self.draw(**{name: control.value for name, control in self.controls.items()})
        said = "; ".join(str(w.message) for w in caught if w.category is UserWarning)
        return (result if isinstance(result, tuple) else (result,)), said and f". {said}"

    def _moved(self, change) -> None:
        loop = self.loop or _running_loop()
        if loop is None:  # no kernel: nothing else can come in between
            self.redraw()
        else:
            # JupyterLab's newer versions send movements to a thread beside the one that runs cells. Drawn there, a picture
            # would share the model with a cell that computes, and with other explorers: it is drawn where cells are run.
            loop.call_soon_threadsafe(self._soon, loop)

    def _soon(self, loop) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = loop.call_later(WAIT, self.redraw)


def display_widget(widget: ipywidgets.Widget, without_kernel: str) -> None:
    """Display a widget; a page that no kernel runs shows a text in its place, which would otherwise list its settings."""
    display(dict(widget._repr_mimebundle_() or {}) | {"text/plain": without_kernel}, raw=True)


def explore(draw: Callable, **controls) -> None:
    """Show an `Explorer`; see there."""
    Explorer(draw, **controls).show()


def uploaded(value) -> Image.Image | None:
    """The picture in an `ipywidgets.FileUpload`'s value; None when nothing was uploaded.

    Raises:
        ValueError: the file is no picture.
    """
    if not value:
        return None
    file = value[0]
    try:
        picture = Image.open(io.BytesIO(bytes(file["content"])))
        picture.load()  # otherwise a file that is cut short would fail later, where nobody knows its name
        return picture
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file['name']!r} is not a picture that can be read: upload a PNG, JPEG or WebP.") from error


def _running_loop():
    """The event loop that this code runs in, a kernel's, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _shown(result):
    return Pretty(result) if isinstance(result, str) else result


def _status(text: str, role: str = "status") -> str:
    import html

    colour = "#a33" if role == "alert" else "#666"
    return f'<span class="sd-status" role="{role}" style="color:{colour}">{html.escape(text)}</span>'
