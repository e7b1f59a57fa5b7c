"""The ledger's page opened as a file: its filter, and what is left of it without scripts."""

import os
from pathlib import Path

import pytest
from find_browser import find_browser

from companion.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "_build" / "html" / "book" / "ledger.html"
ROW = ".ledger-chapter tr.claim-row"

pytestmark = [pytest.mark.browser, pytest.mark.book]


@pytest.fixture(scope="module")
def browser():
    path = find_browser()
    if path is None or not PAGE.is_file():
        reason = "no browser" if path is None else "the book is not built"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page()
    opened.goto(PAGE.as_uri(), wait_until="load")
    opened.wait_for_selector(".ledger-filter:not([hidden])")
    yield opened
    opened.close()


def shown(page):
    return page.locator(f"{ROW}:visible").count()


def test_chips_and_text_narrow_what_is_shown_and_the_count_follows(page):
    rows = read_ledger(ROOT)
    assert shown(page) == len(rows)
    restated = [row for row in rows if row.stance == "restated"]
    page.get_by_role("button", name="restated").click()
    assert shown(page) == len(restated)
    assert f"{len(restated)} of {len(rows)} claims" in page.locator(".ledger-count").inner_text()

    part = rows[0].part
    page.get_by_role("button", name=part).click()
    assert shown(page) == len([row for row in restated if row.part == part])

    page.get_by_role("button", name="added", exact=True).click()  # alternatives within a group
    both = [row for row in rows if row.stance in ("restated", "added") and row.part == part]
    assert shown(page) == len(both)

    page.get_by_role("button", name="Show all").click()
    assert shown(page) == len(rows)
    page.locator(".ledger-search").fill("no claim says this")
    assert shown(page) == 0
    assert page.locator(".ledger-chapter:visible").count() == 0
    word = rows[0].says.split()[0]
    page.locator(".ledger-search").fill(word)
    assert shown(page) >= len([row for row in rows if word.lower() in row.says.lower()]) > 0


def test_a_link_to_a_row_shows_it_whatever_the_filter(page):
    row = read_ledger(ROOT)[0]
    page.locator(".ledger-search").fill("no claim says this")
    page.evaluate("anchor => { location.hash = anchor }", f"{row.chapter}-{row.claim.lower()}")
    page.wait_for_function(f"document.querySelectorAll('{ROW}:not([hidden])').length > 0")
    assert page.locator("tr.claim-row:target").is_visible()


def test_without_scripts_everything_is_shown_and_there_is_nothing_to_press(browser):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(PAGE.as_uri(), wait_until="load")
    assert opened.locator(f"{ROW}:visible").count() == len(read_ledger(ROOT))
    assert not opened.locator(".ledger-filter").is_visible()
    context.close()
