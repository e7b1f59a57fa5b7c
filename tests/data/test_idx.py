import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from companion.data.idx import parse_idx


def written(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_parsing_undoes_writing(array):
    np.testing.assert_array_equal(parse_idx(written(array)), array)


@given(st.data())
def test_a_file_of_any_other_length_is_refused(data):
    content = written(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError):
        parse_idx(content[:length])
    with pytest.raises(ValueError, match=r"41 bytes, its header of shape \(2, 3, 4\) announces 40"):
        parse_idx(content + b"\0")


@pytest.mark.parametrize("magic", [b"\x01\x00\x08\x01", b"\x00\x00\x0d\x01", b"\x00\x00\x08\x00", b"\x1f\x8b\x08\x08"])
def test_a_wrong_magic_number_is_refused_and_quoted(magic):
    with pytest.raises(ValueError, match=magic.hex(" ")):
        parse_idx(magic + b"\0\0\0\1\7")
