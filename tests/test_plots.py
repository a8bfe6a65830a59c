"""Plots and tables of pictures show what they are given."""

import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image

from sd_helpers import plane, plots
from sd_helpers.views import Live, captioned, grid, show, thumbnail


def test_curves_differ_by_colour_and_by_line():
    figure = plots.curves([1, 2], {"a": [0, 1], "b": [1, 0]}, xlabel="x", ylabel="y", log_y=True)
    (ax,) = figure.axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 1], [1, 0]] and ax.get_yscale() == "log"
    assert len({line.get_color() for line in ax.lines}) == len({line.get_linestyle() for line in ax.lines}) == 2
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]


def test_curves_with_an_x_of_their_own():
    (ax,) = plots.curves(None, {"a": ([5, 6, 7], [1, 2, 3])}, xlabel="x", ylabel="y").axes
    assert list(ax.lines[0].get_xdata()) == [5, 6, 7]


@pytest.mark.parametrize("highest", [0.9999, 1.0, 1.0001])
def test_a_scale_of_colours_ends_at_round_numbers_whatever_the_last_digit(highest):
    drawn = plots.heatmap([[0.0, 0.3], [0.5, highest]], x_names="ab", y_names="cd").axes[0].images[0]
    assert drawn.get_clim() == (0.0, 1.0)
    assert plots.heatmap([[2.0, 2.0]], x_names="ab", y_names="c").axes[0].images[0].get_array().min() == 2


def test_histogram_heatmap_and_bars():
    assert isinstance(plots.histogram({"noise": np.arange(9.0), "latents": np.ones(3)}, xlabel="value"), Figure)
    ax = plots.heatmap([[0, 1], [2, 3]], x_names="ab", y_names="cd").axes[0]
    assert ax.images[0].get_array().tolist() == [[0, 1], [2, 3]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]
    (ax,) = plots.bars({"LMS": 1.5, "Euler": 2.0}, ylabel="s").axes
    assert [bar.get_height() for bar in ax.patches] == [1.5, 2.0]


def test_a_plot_is_shown_as_png_with_alt_text():
    figure = plots.curves([1, 2], {"a": [0, 1]}, xlabel="x", ylabel="y")
    data, metadata = DisplayFormatter().format(show(figure, alt="rises"))
    assert "image/png" in data and metadata["image/png"]["alt"] == "rises"


def test_grid_labels_every_picture():
    tiles = [Image.new("RGB", (4, 4))] * 6
    html = grid(tiles, ["<a>", "b"], [1, 2, 3], alt="sheet").data
    assert html.count("<img") == 6 and 'alt="&lt;a&gt; 1"' in html and "<a>" not in html and html.count("<tr ") == 3
    assert html.count("max-width:96px;white-space:normal") == 3  # long titles of columns wrap
    with pytest.raises(ValueError, match="5 pictures do not fill a grid of 2 rows and 3 columns"):
        grid(tiles[:5], ["a", "b"], [1, 2, 3])
    with pytest.raises(ValueError, match="do not fill"):
        grid(tiles, [])


def test_captioned():
    assert "a &lt; b" in captioned(Image.new("RGB", (4, 4)), "a < b").data


def test_a_live_output_is_shown_now_and_then(monkeypatch):
    class Handle(list):
        update = list.append

    handle, now = Handle(), [0.0]
    monkeypatch.setattr("sd_helpers.views.time.monotonic", lambda: now[0])
    live = Live(handle)
    for now[0] in (0.0, 0.4, 0.9, 1.1, 1.2):
        live.update(lambda: f"at {now[0]}")
    assert handle == ["at 0.0", "at 1.1"]
    live.clear()
    assert handle[-1].data == ""


def test_thumbnails_are_copies():
    large, small = Image.new("RGB", (512, 256), "red"), Image.new("RGB", (32, 32))
    assert thumbnail(large).size == (64, 32) and thumbnail(small).size == (32, 32) and large.size == (512, 256)


def test_plots_stand_side_by_side():
    one = plots.plane(plane.moons(20))
    row = plots.side_by_side([one, one, one], alt="three times the moons")
    picture = Image.open(io.BytesIO(row.data))
    assert picture.width == 3 * Image.open(io.BytesIO(plots.side_by_side([one]).data)).width
    assert row.alt == "three times the moons" and row.width == 3 * plots.WIDTH
    high = plots.side_by_side([one] * 5, columns=2)
    sheet = Image.open(io.BytesIO(high.data))
    assert (sheet.width, sheet.height) == (picture.width * 2 // 3, picture.height * 3) and high.width == 2 * plots.WIDTH
    with pytest.raises(ValueError, match="columns"):
        plots.side_by_side([one], columns=0)
    for figures in ([], "no figures"):
        with pytest.raises(ValueError, match="figures"):
            plots.side_by_side(figures)


def test_a_legend_stands_beside_the_axes():
    within, beside = (plots.curves([0, 1], {"a": [0, 1], "b": [1, 0]}, xlabel="", ylabel="", beside=b) for b in (False, True))
    for figure in (within, beside):
        figure.savefig(io.BytesIO(), format="png")
    rims = [(f.axes[0].get_window_extent(), f.axes[0].get_legend().get_window_extent()) for f in (within, beside)]
    assert rims[0][1].x1 <= rims[0][0].x1 and rims[1][1].x0 >= rims[1][0].x1
    assert rims[1][1].x1 <= beside.bbox.width


def test_the_plane_shows_points_paths_and_arrows():
    points, paths = np.eye(3, 2), np.arange(24.0).reshape(4, 3, 2)
    (ax,) = plots.plane(points, paths=paths, arrows=(points, 2 * points), reach=5).axes
    dots, *lines, starts, ends = ax.lines
    np.testing.assert_array_equal(np.transpose(dots.get_data()), points)
    np.testing.assert_array_equal([line.get_xdata() for line in lines], paths[:, :, 0].T)
    np.testing.assert_array_equal(np.transpose(starts.get_data()), paths[0])
    np.testing.assert_array_equal(np.transpose(ends.get_data()), paths[-1])
    assert ax.get_xlim() == ax.get_ylim() == (-5, 5)
    (arrows,) = [thing for thing in ax.collections if hasattr(thing, "U")]
    np.testing.assert_array_equal(np.transpose([arrows.U, arrows.V]), 2 * points)
