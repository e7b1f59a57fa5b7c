import io

import numpy as np
from PIL import Image

from companion import plotting


def draw():
    fig, ax = plotting.subplots()
    ax.plot(np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** 2, color=plotting.METHOD["IGD"], label="$x^2$")
    ax.set(xlabel="x", ylabel="y", title="A parabola")
    ax.legend()
    return fig


def test_the_same_drawing_gives_the_same_bytes():
    assert plotting.show(draw(), alt="a parabola").png == plotting.show(draw(), alt="a parabola").png


def test_the_file_names_no_software_and_no_time():
    image = Image.open(io.BytesIO(plotting.show(draw(), alt="a parabola").png))
    assert not {"Software", "Creation Time", "date"} & set(image.info)


def test_a_picture_carries_its_alternative_text_and_its_name():
    data, metadata = plotting.show(draw(), alt="a parabola", name="glance")._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "a parabola"
    assert metadata == {"image/png": {"alt": "a parabola"}, "companion": {"figure": "glance"}}


def test_drawing_leaves_no_global_state():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plotting.show(draw(), alt="a parabola")
    assert dict(mpl.rcParams) == before
