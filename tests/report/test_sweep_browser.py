"""The page of a sweep in a real browser: silent, self-contained, and what a reader does with it works."""

import pytest

from segexp.report.sweep import write_sweep_report
from tests.report.fabricate import small_sweep
from tests.report.test_browser import CHROMIUM, browser  # noqa: F401

playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: pip install 'segexp[dev]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_sweep_report(small_sweep(tmp_path_factory.mktemp("outputs") / "made"))


@pytest.fixture
def page(browser, written):  # noqa: F811
    """The page, opened anew for a test that changes it."""
    yield from opened_in(browser, written)


@pytest.fixture(scope="module")
def fresh(browser, written):  # noqa: F811
    """The page as it opens, for tests that only look."""
    yield from opened_in(browser, written)


def opened_in(browser, written):  # noqa: F811
    """A tab; whatever the browser complained of or asked for by its end is refused."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab, complaints, requests = context.new_page(), [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(written.as_uri())
    yield tab
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [written.as_uri()]


def column(page, name):
    """The texts of a column of the leaderboard, from top to bottom."""
    names = page.locator("#board thead th").all_inner_texts()
    place = [text.strip(" ↑↓") for text in names].index(name)
    return [row.split("\t")[place].strip() for row in page.locator("#board tr.setting").all_inner_texts()]


def sort(page, name):
    page.locator("#board thead button", has_text=name).first.click()


def test_it_says_first_which_is_better_and_whether_that_is_sure(fresh):
    answer = fresh.locator("#answer").inner_text()
    assert "backbone=large optimizer.lr=0.1 is best with val/miou 0.6110 (mean of 2 seeds, sd 0.0014)" in answer
    assert "With 2 seeds of a setting" in answer
    assert fresh.locator("#answer code").last.inner_text() == "segexp train backbone=large optimizer.lr=0.1 seed=0"


def test_the_leaderboard_sorts_both_ways(page):
    assert column(page, "#") == ["1", "2", "3", "4"]
    sort(page, "backbone")
    assert column(page, "backbone") == ["large", "large", "small", "small"]
    sort(page, "backbone")
    assert column(page, "backbone") == ["small", "small", "large", "large"]
    sort(page, "val/miou")
    assert [text.split(" ")[0] for text in column(page, "val/miou")] == ["0.6110", "0.6020", "0.4110", "0.4020"]
    sort(page, "val/miou")
    assert [text.split(" ")[0] for text in column(page, "val/miou")] == ["0.4020", "0.4110", "0.6020", "0.6110"]
    assert page.locator("#board th[aria-sort=ascending]").count() == 1


def test_it_filters_by_text_and_by_key(page):
    page.locator("#search").fill("large 0.01")
    assert column(page, "#") == ["2"]
    page.locator("#search").fill("")
    page.locator("select[data-key=backbone]").select_option("small")
    assert column(page, "backbone") == ["small", "small"]
    assert page.locator(".parallel path").count() == 2  # the drawing follows
    page.locator("select[data-key='optimizer.lr']").select_option("0.1")
    assert column(page, "#") == ["3"]
    page.locator("#search").fill("no such thing")
    assert page.locator("#count").inner_text() == "no setting fits the filters"


def test_a_setting_opens_to_its_runs_whose_commands_can_be_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#board .open").first.click()
    runs = page.locator("#board tr.run")
    assert runs.count() == 2
    assert "seed 1" in runs.nth(1).inner_text() and "val/miou 0.6120" in runs.nth(1).inner_text()
    runs.nth(1).locator("button.copy").click()
    runs.nth(1).locator("button.copy", has_text="copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "segexp train backbone=large optimizer.lr=0.1 seed=1"


def test_ticking_chooses_what_is_drawn(page):
    lines = page.locator("#curves .scatterlayer .trace")
    assert lines.count() == page.locator(".chip").count() == 4
    page.locator("#board tr.setting input").first.click()
    assert lines.count() == page.locator(".chip").count() == 3
    page.locator("#failures summary", has_text="Pruned").click()
    page.locator("button.draw").click()
    assert page.locator(".chip").count() == 4
    assert page.locator("button.draw").inner_text() == "drawn"
    page.locator("#curve").select_option("train/loss")
    assert page.locator("#curves .ytitle").text_content() == "train/loss"


def test_two_runs_are_compared(page):
    page.locator("#a").select_option(label="backbone=large optimizer.lr=0.1 · seed 0")
    page.locator("#b").select_option(label="backbone=small optimizer.lr=0.1 · seed 0")
    assert page.locator("#settings-of tbody").inner_text().split("\t") == ["backbone", "large", "small"]
    rows = dict(row.split("\t", 1) for row in page.locator("#figures-of tbody tr").all_inner_texts())
    assert rows["val/miou"] == "0.6100\t0.4100\t-0.2000"
    assert "large optimizer.lr=0.1 is better is supported" in page.locator("#verdict").inner_text()
    pictures = page.locator("#pictures img")
    assert pictures.count() == 4  # two pictures of each
    assert pictures.nth(0).get_attribute("src") != pictures.nth(1).get_attribute("src")
    assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 0)")
    page.locator("#b").select_option(label="backbone=large optimizer.lr=0.1 · seed 0")
    assert page.locator("#verdict").inner_text() == "Choose two different runs."


def test_the_matrix_marks_supported_differences(fresh):
    cells = [row.split("\t") for row in fresh.locator("#pairs tbody tr").all_inner_texts()]
    assert len(cells) == 4
    assert cells[0][3].endswith("✓") and cells[2][1].endswith("✗")  # large against small, and back
    assert "95 % interval" in fresh.locator("#pairs td.better").first.get_attribute("title")


def test_cost_and_importance(page):
    shares = [row.split("\t") for row in page.locator("#importance tr").all_inner_texts()]
    assert [row[0].strip() for row in shares] == ["backbone", "optimizer.lr"]
    assert int(shares[0][-1].split()[0]) > 90
    page.locator("#cost").select_option("seconds")
    assert page.locator("#costs .xtitle").text_content() == "time (s)"


def test_failures_have_their_last_lines_and_their_command(fresh):
    said = fresh.locator("#failures").inner_text()
    assert "out of memory at batch 8" in said and "the last thing it said" in said and "lower data.loader.batch_size" in said
    fresh.locator("#failures summary", has_text="1 more that failed of the same").click()
    assert "segexp train backbone=vast optimizer.lr=0.01 seed=0" in fresh.locator("#failures").inner_text()


def test_the_keyboard_reaches_it(page):
    page.locator("#board thead button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    page.locator("#board .open").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#board tr.run").count() == 2
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_nothing_is_wider_than_the_window_and_colours_follow(page):
    page.locator("#board .open").first.click()
    for width, scheme in ((360, "light"), (360, "dark"), (1200, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wanted = page.evaluate("getComputedStyle(document.querySelector('.quiet')).color")  # the muted one
        playwright.expect(page.locator("#curves .xtitle")).to_have_css("fill", wanted)
