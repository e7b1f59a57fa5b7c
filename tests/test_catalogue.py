import pytest
import yaml

from companion import catalogue
from companion.catalogue import PARTS, UnknownChapterError


def test_chapters_come_in_the_order_of_the_table_of_contents(root):
    listed = [line.split("/")[-1] for line in (root / "_toc.yml").read_text().split() if line.startswith("notebooks/")]
    assert [chapter.slug for chapter in catalogue.chapters(root)] == listed
    assert listed


def test_the_table_of_contents_names_parts_of_the_book_in_order(root):
    captions = [part["caption"] for part in yaml.safe_load((root / "_toc.yml").read_text())["parts"]]
    begun = [caption for caption in captions if caption in PARTS]
    assert begun == [part for part in PARTS if part in begun]
    assert set(captions) - set(PARTS) == {"The book"}


def test_every_part_that_is_begun_has_its_page_and_a_chapter(root):
    for part, documents in catalogue.read_toc(root).items():
        if part in PARTS:
            assert documents[0] == f"book/parts/{PARTS[part]}"
            assert any(document.startswith("notebooks/") for document in documents)


def test_an_unknown_chapter_gives_the_nearest_name(root):
    with pytest.raises(
        UnknownChapterError, match=r"^sam-diagonal: no such chapter \(did you mean sam-diagonal-networks\?\)"
    ):
        catalogue.find("sam-diagonal", root)


def test_papers_are_cited_in_the_bibliography(root):
    bibliography = (root / "book" / "references.bib").read_text()
    for chapter in catalogue.chapters(root):
        assert chapter.paper.slug == chapter.slug
        assert f"{{{chapter.paper.key}," in bibliography


def test_a_folder_without_a_book_is_no_root(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no book here"):
        catalogue.find_root()
