"""The page in a real browser: silent, self-contained, and its controls work."""

import json
import shutil

import pytest
from PIL import Image

from segexp.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
FLAGS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: pip install 'segexp[dev]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, run):
    """The page of a run with everything on it; whatever the browser complains of or asks for is kept."""
    Image.new("RGB", (900, 300), (10, 120, 10)).save(run / "images" / "a__good.png")
    matrix = {"classes": ["road", "car", "dog"], "counts": [[750, 250, 0], [10, 990, 0], [0, 0, 0]]}
    (run / "confusion.json").write_text(json.dumps({"val": matrix}))
    tab = browser.new_page(viewport={"width": 1100, "height": 900})
    tab.complaints, tab.requests = [], []
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.goto(write_report(run).as_uri())
    yield tab
    tab.close()


def first_column(page):
    return page.locator("#classes tbody tr td:first-child").all_inner_texts()


def test_it_is_silent_and_asks_for_nothing(page):
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in page.requests if url.startswith("file://")]) == 1


def test_the_class_table_sorts_both_ways_with_absent_classes_last(page):
    assert first_column(page) == ["road", "car", "dog"]
    heading = page.locator("#classes th button", has_text="val IoU")
    heading.click()
    assert first_column(page) == ["road", "car", "dog"]  # 0.75, 0.35, absent
    heading.click()
    assert first_column(page) == ["car", "road", "dog"]
    page.locator("#classes th button", has_text="class").first.click()
    assert first_column(page) == ["car", "dog", "road"]


def test_a_picture_enlarges_and_shrinks(page):
    picture = page.locator(".picture img").nth(1)
    figure = picture.locator("xpath=ancestor::figure")
    picture.click()
    assert "large" in figure.get_attribute("class")
    picture.click()
    assert "large" not in figure.get_attribute("class")


def test_the_confusion_matrix_tells_its_numbers(page):
    cells = page.locator(".matrix tbody td")
    assert cells.all_inner_texts() == ["75", "25", "", "1", "99", "", "", "", ""]
    assert cells.nth(1).get_attribute("title") == "road as car: 250 pixels, 25.00 %"
    colors = [cell.evaluate("e => getComputedStyle(e).backgroundColor") for cell in (cells.nth(0), cells.nth(1), cells.nth(2))]
    assert len(set(colors)) == 3
    assert page.locator(".mistakes tbody tr").first.inner_text().split("\t") == ["road", "car", "25.0 %", "250"]


@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_dark_page_is_dark(page):
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = [sum(int(c) for c in color.strip("rgb()").split(",")) for color in (light, dark)]
    assert brightness[0] > 600 > 200 > brightness[1]
