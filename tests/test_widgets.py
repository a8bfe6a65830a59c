"""Explorers without a front end: what a movement of the controls does."""

import asyncio
import io
import threading

import ipywidgets
import pytest
from IPython.display import Pretty
from PIL import Image

from sd_helpers import widgets
from sd_helpers.widgets import Explorer, uploaded


class Output:
    """Stands in for a display handle."""

    def __init__(self, shown):
        self.shown = [shown]

    def update(self, shown):
        self.shown.append(shown)


@pytest.fixture
def outputs(monkeypatch):
    """Everything that explorers display by a handle."""
    made = []

    def display(thing, display_id=None, raw=False):
        if display_id:
            made.append(Output(thing))
            return made[-1]

    monkeypatch.setattr(widgets, "display", display)
    return made


def explorer(draw, **controls):
    return Explorer(draw, **(controls or dict(steps=ipywidgets.IntSlider(3, 0, 10)))).show()


def test_shows_the_first_result_and_follows_the_controls(outputs):
    shown = explorer(lambda steps: (steps * 10, "text"))
    shown.controls["steps"].value = 5
    assert outputs[0].shown == [30, 50]
    assert [o.data for o in outputs[1].shown] == ["text", "text"] and isinstance(outputs[1].shown[0], Pretty)
    assert "ready, drawn in" in shown.status.value


def test_a_quick_drag_costs_one_redraw_at_its_last_position(outputs):
    drawn = []
    shown = explorer(lambda steps: drawn.append(steps) or steps)

    async def drag():
        for value in (4, 5, 6, 7):
            shown.controls["steps"].value = value
            await asyncio.sleep(0.01)
        await asyncio.sleep(2 * widgets.WAIT)

    asyncio.run(drag())
    assert drawn == [3, 7] and outputs[0].shown == [3, 7]


def test_an_error_stands_in_the_status_and_the_last_result_stays(outputs):
    def draw(steps):
        if steps == 5:
            raise ValueError("steps=5 is <not> possible")
        return steps

    shown = explorer(draw)
    shown.controls["steps"].value = 5
    assert outputs[0].shown == [3] and 'role="alert"' in shown.status.value and "&lt;not&gt;" in shown.status.value
    shown.controls["steps"].value = 6
    assert outputs[0].shown == [3, 6] and "ready" in shown.status.value


def test_a_warning_stands_in_the_status(outputs):
    import warnings

    shown = explorer(lambda steps: warnings.warn("too long", stacklevel=2) or steps)
    shown.controls["steps"].value = 5
    assert "too long" in shown.status.value and outputs[0].shown[-1] == 5


def test_text_waits_for_its_end_and_sliders_do_not(outputs):
    shown = explorer(lambda **values: 1, words=ipywidgets.Text("a"), seed=ipywidgets.IntSlider(0, 0, 9))
    assert not shown.controls["words"].continuous_update and shown.controls["seed"].continuous_update
    assert shown.controls["words"].description == "words"


def test_a_page_that_no_kernel_runs_says_what_to_do(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, raw: shown.append(bundle))
    widgets.display_widget(ipywidgets.IntSlider(), "(run this cell)")
    assert shown[0]["text/plain"] == "(run this cell)" and "application/vnd.jupyter.widget-view+json" in shown[0]


def test_uploaded_picture():
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(buffer, "PNG")
    assert uploaded(()) is None
    assert uploaded([dict(name="a.png", content=memoryview(buffer.getvalue()))]).size == (5, 4)
    with pytest.raises(ValueError, match="'a.txt' is not a picture"):
        uploaded([dict(name="a.txt", content=memoryview(b"hello"))])
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(noise, "PNG")
    with pytest.raises(ValueError, match="'cut.png' is not a picture"):
        uploaded([dict(name="cut.png", content=memoryview(noise.getvalue()[:500]))])


def test_movements_from_another_thread_are_drawn_where_it_was_shown(outputs):
    drawn = []

    async def cell():
        control = ipywidgets.IntSlider(1, 0, 9)
        Explorer(lambda n: drawn.append((n, threading.current_thread().name)) or str(n), n=control).show()
        mover = threading.Thread(target=lambda: setattr(control, "value", 5), name="subshell")
        mover.start()
        mover.join()
        await asyncio.sleep(2 * widgets.WAIT + 0.2)

    asyncio.run(cell())
    assert drawn == [(1, "MainThread"), (5, "MainThread")]
