import json

import audits
import pytest

PAGE = '<nav><a>{nav}</a></nav><article><p class="note">measured {number}</p>{more}</article>'


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(audits, "ROOT", tmp_path)
    monkeypatch.setattr(audits, "HTML", tmp_path / "html")
    monkeypatch.setattr(audits, "MARKS", tmp_path / "axe")
    monkeypatch.setattr(audits, "RECORD", tmp_path / "audited.json")
    (tmp_path / "html").mkdir()

    def write(name="page", **parts):
        text = PAGE.format(**{"nav": "one", "number": 1, "more": ""} | parts)
        (tmp_path / "html" / f"{name}.html").write_text(text)
        return audits.outline(name, tmp_path / "html")

    return write


def test_an_outline_is_the_elements_of_the_article_and_not_what_a_run_changes(site):
    first = site()
    assert site(number=2.5, nav="two") == first
    assert site(more="<p></p>") != first
    assert site(more='<img alt="seen 3">') == site(more='<img alt="seen 4">')
    assert site(more='<a role="button"></a>') != site(more="<a></a>")


def test_marks_are_taken_into_the_record_and_pages_that_are_gone_are_dropped(site, tmp_path):
    outline = site()
    site("other")
    (tmp_path / "audited.json").write_text(json.dumps({"gone": "a", "other": "b"}))
    audits.mark_of("page").parent.mkdir()
    audits.mark_of("page").write_text(outline)
    audits.main()
    assert audits.recorded() == {"other": "b", "page": outline}
