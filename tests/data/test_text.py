import hashlib
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.data import DatasetArgumentError, DatasetCorruptError, load_dataset, text


@given(st.text(st.sampled_from(text.ALPHABET)))
def test_decoding_undoes_encoding(sentence):
    assert text.decode(text.encode(sentence.encode())) == sentence


@given(st.binary())
def test_every_byte_is_a_symbol_and_strange_ones_are_spaces(content):
    symbols = text.encode(content)
    assert len(symbols) == len(content)
    known = [chr(byte) if chr(byte) in text.ALPHABET and byte < 128 else " " for byte in content]
    assert text.decode(symbols) == "".join(known)


def test_the_alphabet_has_96_symbols():
    assert len(set(text.ALPHABET)) == 96 == load_dataset("text", n_train=10).n_classes


@pytest.fixture
def standard_library(tmp_path, monkeypatch, bare_machine, no_network):
    """A standard library of five small files, two of which are left out."""
    root = tmp_path / "lib"
    for name, content in {
        "zebra.py": "zebra",
        "abc.py": "abc",
        "json/__init__.py": "json",
        "json/decoder.py": "decoder",
        "ast.py": "ast",
        "test/test_abc.py": "TEST",
        "site-packages/other.py": "OTHER",
        "json/tests/inner.py": "INNER",
        "_sysconfigdata_machine.py": "MACHINE",
        "notes.txt": "NOTES",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    monkeypatch.setattr(text.sysconfig, "get_path", lambda name: str(root))
    return root


def test_stable_modules_come_first_and_tests_are_left_out(standard_library):
    data = load_dataset("text", n_train=15, n_test=2)
    assert "5 files" in data.source
    assert data.sha256 == hashlib.sha256(b"ast\njson\ndecoder\nabc\nzebra").hexdigest()
    assert text.decode(data.x_train) == "ast\njson\ndecode"
    assert text.decode(data.y_train) == "st\njson\ndecoder"
    assert text.decode(data.x_test) == "r\n"
    assert str(standard_library) not in data.describe()


def test_by_default_the_last_tenth_is_the_test_part(standard_library):
    data = load_dataset("text")
    whole = "ast\njson\ndecoder\nabc\nzebra"
    assert (len(data.x_train), len(data.x_test)) == (23, 2)
    assert text.decode(np.concatenate([data.x_train, data.x_test])) == whole[:-1]


def test_sizes_beyond_the_text_are_refused_with_the_range(standard_library):
    with pytest.raises(DatasetArgumentError, match="n_train: got 25, allowed: an integer from 1 to 24"):
        load_dataset("text", n_train=25)
    with pytest.raises(DatasetArgumentError, match="n_test: got 5, allowed: an integer from 1 to 4"):
        load_dataset("text", n_train=21, n_test=5)
    assert len(load_dataset("text", n_train=24).x_test) == 1


def test_the_user_text_comes_first_and_only_from_its_own_folder(standard_library, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    (mine / "text").mkdir(parents=True)
    (mine / "readme.txt").write_text("not a corpus")
    monkeypatch.setenv("COMPANION_DATA", str(mine))
    assert "standard library" in load_dataset("text").source
    (mine / "text" / "b.txt").write_text("second")
    (mine / "text" / "a.txt").write_text("first")
    data = load_dataset("text", n_train=9)
    assert data.source == "found in COMPANION_DATA"
    assert text.decode(data.x_train) == "first\nsec"
    assert "PSF" not in data.licence


def test_the_shortest_text_has_one_symbol_in_each_part(standard_library, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("ab")
    assert "standard library" in load_dataset("text", data_dir=tmp_path).source
    (tmp_path / "text" / "a.txt").write_text("abc")
    data = load_dataset("text", data_dir=tmp_path)
    assert (text.decode(data.x_train), text.decode(data.x_test), text.decode(data.y_test)) == ("a", "b", "c")


def test_byte_order_marks_are_left_out_and_utf_16_is_refused(standard_library, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("first", encoding="utf-8-sig")
    (tmp_path / "text" / "b.txt").write_text("second", encoding="utf-8-sig")
    data = load_dataset("text", data_dir=tmp_path, split=False)
    assert text.decode(data.x_train) == "first\nsecon"
    (tmp_path / "text" / "b.txt").write_text("second", encoding="utf-16")
    with pytest.raises(DatasetCorruptError, match=r"b\.txt begins with the byte order mark of UTF-16"):
        load_dataset("text", data_dir=tmp_path)


def test_sources_that_are_no_files_are_left_out(standard_library, in_time):
    before = load_dataset("text").sha256
    os.mkfifo(standard_library / "pipe.py")
    os.symlink("nowhere", standard_library / "broken.py")
    os.symlink("loop.py", standard_library / "loop.py")
    (standard_library / "folder.py").mkdir()
    assert load_dataset("text").sha256 == before


def test_without_sources_the_docstrings_serve(standard_library, monkeypatch, tmp_path):
    monkeypatch.setattr(text.sysconfig, "get_path", lambda name: str(tmp_path / "zipped"))
    first, again = (load_dataset("text", n_train=100_000) for _ in range(2))
    assert "docstrings" in first.source
    assert first.x_train.tobytes() == again.x_train.tobytes()
    assert "Command-line parsing library" in text.decode(first.x_train)


def test_the_real_standard_library_is_large_and_mostly_plain():
    data = load_dataset("text", n_train=1_350_000, n_test=150_000)
    assert (len(data.x_train), len(data.x_test)) == (1_350_000, 150_000)
    assert "argparse" in text.decode(data.x_train[:5000])
    np.testing.assert_array_equal(data.x_train[1:], data.y_train[:-1])
