import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from companion import plotting


@plotting.figure(alt="a parabola")
def draw():
    fig, ax = plotting.subplots()
    ax.plot(np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** 2, color=plotting.PALETTE["red"], label="$x^2$")
    ax.set(xlabel="x", ylabel="y", title="A parabola")
    ax.legend()
    return fig


def test_the_same_drawing_gives_the_same_bytes():
    assert plotting.show(draw()).png == plotting.show(draw()).png


def test_the_file_names_no_software_and_no_time():
    image = Image.open(io.BytesIO(plotting.show(draw()).png))
    assert not {"Software", "Creation Time", "date"} & set(image.info)


def test_a_picture_carries_its_alternative_text_and_its_name():
    data, metadata = plotting.show(draw(), name="glance")._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "a parabola"
    assert metadata == {"image/png": {"alt": "a parabola"}, "companion": {"figure": "glance"}}


def test_a_draft_is_made_and_not_rendered(monkeypatch):
    monkeypatch.setenv("COMPANION_DRAFT", "1")
    draft = plotting.show(draw(), name="glance")
    assert Image.open(io.BytesIO(draft.png)).size == (1, 1)
    assert (draft.alt, draft.name) == ("a parabola", "glance")
    with pytest.raises(ValueError, match="nothing describes it"):
        plotting.show(plotting.subplots()[0], name="bare")
    with pytest.raises(ValueError, match="10 inches wide"):
        plotting.show(plotting.subplots(size=(10.0, 3.0))[0], alt="wide")
    monkeypatch.setenv("COMPANION_DRAFT", "0")
    assert Image.open(io.BytesIO(plotting.show(draw()).png)).size[0] > 1000


def test_drawing_leaves_no_global_state():
    before = dict(mpl.rcParams)
    plotting.show(draw())
    assert dict(mpl.rcParams) == before


def test_the_alternative_text_may_depend_on_what_is_drawn():
    @plotting.figure(alt=lambda count: f"{count} points")
    def points(count):
        fig, ax = plotting.subplots()
        ax.plot(range(count))
        return fig

    assert plotting.show(points(3)).alt == "3 points"


def test_a_figure_that_nothing_describes_is_refused():
    with pytest.raises(ValueError, match="figure 'bare': nothing describes it"):
        plotting.show(plotting.subplots()[0], name="bare")


def test_a_figure_wider_than_the_page_is_refused():
    fig = plotting.subplots(1, 3, size=(10.0, 3.0))[0]
    with pytest.raises(ValueError, match=r"10 inches wide, allowed: at most 7\.6"):
        plotting.show(fig, alt="three panels in a row")


@pytest.mark.parametrize("size", [9.5, 9.6])
def test_text_must_be_legible_on_the_page(size):
    fig = draw()
    fig.axes[0].annotate("small", (0.5, 0.5), fontsize=size)
    if size * plotting.COLUMN / (72 * plotting.WIDTH) < plotting.SMALLEST:
        with pytest.raises(ValueError, match=r"'small' is 11\.9 pixels high, allowed: at least 12"):
            plotting.show(fig)
    else:
        assert plotting.show(fig).alt == "a parabola"


def test_text_that_is_not_shown_may_have_any_size():
    fig = draw()
    fig.axes[0].annotate("small", (0.5, 0.5), fontsize=4).set_visible(False)
    fig.axes[0].annotate(" ", (0.5, 0.5), fontsize=4)
    assert plotting.show(fig)


def test_a_configuration_of_the_users_does_not_show():
    plain = plotting.show(draw()).png
    with mpl.rc_context({"axes.facecolor": "black", "text.color": "white", "lines.linestyle": ":", "font.size": 30}):
        assert plotting.show(draw()).png == plain


def test_a_colour_map_keeps_its_colours():
    """256 colours for a whole figure would merge neighbouring shades of the bar."""
    fig, ax = plotting.subplots()
    fig.colorbar(ax.pcolormesh(np.linspace(0, 1, 400).reshape(20, 20), cmap="viridis"))
    fig.alt = "a colour map"
    picture = Image.open(io.BytesIO(plotting.show(fig).png)).convert("RGB")
    assert picture.mode == "RGB"
    shades = {picture.getpixel((x, y)) for x in range(0, picture.width, 2) for y in range(0, picture.height, 2)}
    wanted = {tuple(int(255 * c + 0.5) for c in mpl.colormaps["viridis"](k)[:3]) for k in range(20, 236)}
    near = [min(max(abs(a - b) for a, b in zip(w, s, strict=True)) for s in shades) for w in wanted]
    assert max(near) <= 1


def test_a_band_is_the_range_of_the_runs_around_their_mean():
    _, ax = plotting.subplots()
    plotting.band(ax, [0, 1], np.array([[0.0, 1.0, 5.0], [1.0, 2.0, np.nan]]), "black", "runs")
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.5]
    corners = {tuple(point) for point in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(0.0, 0.0), (0.0, 5.0), (1.0, 1.0), (1.0, 2.0)} <= corners


def test_a_legend_below_names_each_label_once():
    fig, axes = plotting.subplots(1, 2)
    for ax in axes:
        ax.plot([0, 1], label="same")
    axes[1].plot([1, 0], label="other")
    assert [text.get_text() for text in plotting.legend_below(fig).get_texts()] == ["same", "other"]
