"""What every page of the site passes through, without a browser: formulas, mended HTML, search text, one piece."""

import json
import zipfile

import pytest
from docutils import nodes

from companion import site
from companion.sphinx.look import describe, slim
from companion.sphinx.mend import mend
from companion.sphinx.search import kind_of, text_of, tidy
from companion.sphinx.tex import readable


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        (r"\ell_\infty", "ℓ∞"),
        (r"\ell_2", "ℓ₂"),
        (r"\rho", "ρ"),
        (r"\mathbb{R}^d", "ℝ^d"),
        (r"\|w\|_2^2 \le \tfrac{1}{n}", "‖w‖₂² ≤ 1/n"),
        (r"\operatorname{sign}(\nabla L)", "sign(∇ L)"),
        (r"\left(\frac{a}{b}\right)", "(a/b)"),
        (r"x_1, \ldots, x_{12}", "x₁, … , x₁₂"),
    ],
)
def test_a_formula_is_readable_in_plain_characters(tex, plain):
    assert readable(tex).replace(" ", "") == plain.replace(" ", "")


PAGE = """<html><head><meta name="viewport" content="a" /><meta name="viewport" content="b" />
<link rel="stylesheet" href="../_static/proof.css?v=1" /><link rel="stylesheet" href="../_static/companion.css" />
<script src="../_static/clipboard.min.js"></script><script defer src="../_static/mathjax/startup.js?v=2"></script>
<script>window.MathJax = {{}}</script><script src="../_static/searchtools.js"></script>
<script>const THEBE_JS_URL = "https://elsewhere"</script></head><body>
<p aria-level="2" class="caption" role="heading"><span class="caption-text">One part</span></p>
<ul class="nav"><li class="toctree-l1"><a class="reference internal" href="parts/one.html">One part</a></li>
<li class="toctree-l1 has-children"><a class="reference" href="x.html">A chapter</a><details><summary></summary>
<ul><li>lab</li></ul></details></li></ul>
<article class="bd-article">{body}</article></body></html>"""


def test_a_page_loads_only_what_it_uses():
    bare = mend(PAGE.format(body="<p>text</p>"))
    assert "proof.css" not in bare
    assert "clipboard" not in bare
    assert "athJax" not in bare
    assert "companion.css" in bare
    body = '<div class="proof theorem admonition"></div><div class="highlight"></div><span class="math">x</span>'
    full = mend(PAGE.format(body=body))
    assert "proof.css" in full
    assert "clipboard" in full
    assert "mathjax/startup.js" in full
    assert "window.MathJax" in full
    for page in (bare, full):
        assert "searchtools" not in page
        assert "THEBE" not in page
        assert page.count('name="viewport"') == 1


def test_a_part_stands_once_in_the_sidebar_and_arrows_have_names():
    page = mend(PAGE.format(body=""))
    assert page.count("One part") == 1
    assert '<a class="caption-text" href="parts/one.html">One part</a>' in page
    assert '<summary aria-label="Pages under A chapter">' in page


def test_cells_carry_their_columns_heading():
    table = (
        r'<table><thead><tr><th class="head"><p>Size \(\rho\)</p></th><th class="head"></th><th>Verdict</th>'
        '</tr></thead><tbody><tr><td><p>1</p></td><td>2</td><td data-label="own">3</td></tr></tbody></table>'
    )
    page = mend(PAGE.format(body=table))
    assert '<td data-label="Size ρ"><p>1</p></td><td>2</td><td data-label="own">3</td>' in page
    # A heading that says nothing is none.
    assert page.count("<th>") + page.count("<th ") == 2


def test_a_formula_that_is_all_of_a_link_or_heading_is_also_text():
    formula = r'<span class="math notranslate">\(\rho\)</span>'
    page = mend(PAGE.format(body=f'<a href="#x">{formula}</a><p>{formula}</p>'))
    assert page.count('<span class="visually-hidden">ρ</span></a>') == 1
    assert page.count('aria-hidden="true"') == 1


def test_images_become_links_with_the_command_that_draws_them():
    figure = (
        '<figure class="align-default record-figure drawn-by__some-paper__glance" id="figure-glance">'
        '<img alt="What it shows" src="../_images/a.png" /></figure>'
    )
    page = mend(PAGE.format(body=figure), "book/some-paper")
    assert 'data-command="companion figure some-paper glance" class="align-default record-figure"' in page
    assert '<a class="enlarge" href="../_images/a.png"><img alt="What it shows"' in page
    lab = mend(
        PAGE.format(body='<img class="record-figure-paths" alt="x" src="../_images/b.png">'), "notebooks/some-paper"
    )
    assert '<a class="enlarge" href="../_images/b.png" data-command="companion figure some-paper paths">' in lab
    linked = '<a href="x.html"><img alt="x" src="b.png"></a>'
    assert linked in mend(PAGE.format(body=linked), "book/intro")


def test_proofs_share_no_id():
    proof = (
        '<div class="proof admonition" id="proof"><section class="theorem-content" id="proof-content"></section></div>'
    )
    page = mend(PAGE.format(body=proof + proof))
    assert 'id="proof' not in page
    assert page.count("a-proof") == 2


def test_the_text_that_is_searched_is_what_one_reads():
    paragraph = nodes.paragraph("", "", nodes.Text("With "), nodes.math("", r"\ell_2"), nodes.Text("-max-margin ("))
    paragraph += nodes.emphasis("", "here")
    paragraph += nodes.Text(") it ends.")
    paragraph += nodes.footnote_reference("", "1")
    section = nodes.section("", nodes.title("", "A title"), paragraph, nodes.literal_block("", "code = 1"))
    assert tidy(text_of(section)) == "A title With ℓ₂-max-margin (here) it ends."


def test_pages_are_told_apart_for_the_order_of_results():
    kinds = [
        kind_of(name, {"sam"}) for name in ("book/sam", "notebooks/sam", "records/sam", "book/parts/x", "book/gpu")
    ]
    assert kinds == ["chapter", "lab", "record", "part", "about"]


def test_a_description_is_cut_at_a_sentence_or_a_word():
    def page(text):
        return nodes.section("", nodes.title("", "T"), nodes.paragraph("", text))

    sentence = "This sentence has some eighty characters, so that a description may well end with it."
    assert describe(page(f"{sentence} {'more ' * 60}")) == sentence
    cut = describe(page("word " * 100))
    assert cut.endswith("word…")
    assert len(cut) <= 200


def test_what_no_page_asks_for_is_not_published(tmp_path):
    kept = ["mathjax/startup.js", "mathjax/input/tex.js", "mathjax/output/chtml/fonts/woff-v2/A.woff", "companion.css"]
    gone = ["mathjax/tex-svg.js", "mathjax/sre/en.json", "vendor/fontawesome/a.woff2", "searchtools.js"]
    style = "styles/pydata-sphinx-theme.css"
    for name in [*kept, *gone, style]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    font, icon = "@font-face{font-family:Font Awesome\\ 6 Free;src:url(a)}", ".fa-x:before,.fa-y:before{content:'a'}"
    rules = f"p{{color:red}}{font}{icon}b{{c:d}}"
    (tmp_path / style).write_text(rules)
    slim(tmp_path)
    assert sorted(f.relative_to(tmp_path).as_posix() for f in tmp_path.rglob("*") if f.is_file()) == sorted(
        [*kept, style]
    )
    assert (tmp_path / style).read_text() == "p{color:red}b{c:d}"


# --- the site in one piece ----------------------------------------------------------------------------------------


@pytest.fixture
def small_site(tmp_path):
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nparts:\n  - caption: One\n    chapters:\n      - file: book/a\n"
        "        sections:\n          - file: notebooks/a\n"
    )
    (tmp_path / "_config.yml").write_text("title: A & B\n")
    html = tmp_path / "_build" / "html"
    pages = {
        "book/intro": '<h1>In<a class="headerlink"></a></h1><a href="a.html#here">to a</a>',
        "book/a": '<h1>A<a class="headerlink"></a></h1><p id="here"></p><a href="#here">here</a>'
        '<img src="../_images/a.png">',
        "notebooks/a": '<a href="../book/a.html">back</a><a href="https://elsewhere.org/x#y">out</a>',
    }
    for name, body in pages.items():
        file = html / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        head = '<head><link rel="stylesheet" href="../_static/companion.css" /></head>'
        file.write_text(f'<html>{head}<body><article class="bd-article">{body}</article></body></html>')
    (html / "index.html").write_text("front")
    (html / ".buildinfo").write_text("no")
    return tmp_path


def test_the_book_on_one_page_links_within_itself(small_site):
    page = site.one_page(small_site)
    assert 'href="#book-a--here">to a' in page
    assert 'id="book-a--here"' in page
    assert 'href="#book-a--here">here' in page
    assert 'href="#book-a">back' in page
    assert 'href="https://elsewhere.org/x#y"' in page
    assert 'src="_images/a.png"' in page
    assert page.count('href="_static/companion.css"') == 1
    assert "<title>A &amp; B</title>" in page
    assert page.index('id="book-intro"') < page.index('id="book-a"') < page.index('id="notebooks-a"')


def test_the_archive_is_the_same_for_the_same_site(small_site):
    first = site.pack(small_site).read_bytes()
    assert site.pack(small_site).read_bytes() == first
    with zipfile.ZipFile(small_site / "_build" / "book.zip") as archive:
        names = archive.namelist()
    assert f"{site.FOLDER}/book/a.html" in names
    assert not [name for name in names if "buildinfo" in name]


@pytest.mark.parametrize("what", ["pdf", "zip"])
def test_a_book_that_is_not_built_is_one_line(tmp_path, monkeypatch, capsys, what):
    (tmp_path / "_toc.yml").write_text("root: book/intro\nparts: []\n")
    (tmp_path / "companion").mkdir()
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    assert site.main([what]) == 2
    assert capsys.readouterr().err == "the book is not built: run `make html`\n"
    assert site.main([]) == 2


def test_package_json_pins_what_the_tests_fetch(root):
    package = json.loads((root / "package.json").read_text())
    assert all(version[0].isdigit() for version in package["devDependencies"].values())
    assert set(package) <= {"name", "private", "description", "devDependencies", "sha256"}
