"""The page as people use it, in real browsers: every step of its purpose, and the numbers of the command it copies."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui import browsers
from tests.ui.browsers import Page, browser, served

ROOT = Path(__file__).parents[2]
REPLICATIONS = 20


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the headline experiment, of few replications."""
    shutil.copytree(ROOT / "experiments" / "manifests", tmp_path / "manifests")
    shutil.copytree(ROOT / "models", tmp_path / "models")
    text = (ROOT / "experiments" / "hey50x5.yaml").read_text(encoding="utf-8")
    file = tmp_path / "painter.yaml"
    file.write_text(text.replace("replications: 200", f"replications: {REPLICATIONS}"), encoding="utf-8")
    return tmp_path


def printed(command: str, place: Path) -> str:
    """What a command that the page copied prints, with single blanks."""
    words = shlex.split(command)
    assert words[0] == "kpasim"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "KPASIM_BACKGROUND": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "kpasim.cli.main", *words[1:]],
        cwd=place, env=environment, capture_output=True, text=True, check=True, timeout=browsers.DEADLINE_S,
    )  # fmt: skip
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def assert_same_numbers(page: Page, command: str, place: Path) -> None:
    """Every figure of the page stands in the output of the command, digit for digit."""
    lines = printed(command, place).splitlines()
    rows = page.rows()
    assert len(rows) > 20
    for title, value, interval, unit, *_ in rows:
        wanted = " ".join(f"{title} {value} {interval} {unit}".split())
        assert any(line.startswith(wanted) for line in lines), (wanted, lines)


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_a_setting_is_moved_pinned_swept_and_copied(name, place):
    """Open, break a line and see its message, move a slider by key, pin, sweep, take a point, copy: no complaint."""
    browsers.needed(name)
    with served("painter.yaml", place=place) as address, browser(name) as started:
        page = Page(started, address)
        page.settled(REPLICATIONS)
        before = page.tiles()
        assert_same_numbers(page, "kpasim run painter.yaml", place)

        editor = page.page.locator("#manifest")
        text = editor.input_value()
        line = next(i for i, one in enumerate(text.splitlines(), 1) if "containerConcurrency" in one)
        editor.fill(text.replace("containerConcurrency: 1", "containerConcurrency: -1"))
        page.wait("#lines li")
        assert page.page.inner_text("#lines li") == (
            f"line {line}: spec.template.spec.containerConcurrency: -1 is out of range (must be in [0, 1000])"
        )
        assert page.page.inner_text("#gutter b") == str(line)
        assert page.tiles() == before
        page.mark()
        editor.fill(text)
        page.settled(REPLICATIONS)
        assert page.page.locator("#lines li").count() == 0
        assert page.tiles() == before
        assert not page.page.is_visible("#undo-all")

        page.page.click("#pin")
        slider = page.page.locator("[aria-label='max-scale, slider']")
        slider.focus()
        page.mark()
        for _ in range(7):
            page.page.keyboard.press("ArrowLeft")
        page.settled(REPLICATIONS)
        assert page.page.input_value("#knob-service-annotations-max-scale") == "2"
        assert slider.get_attribute("aria-valuetext") == "2"
        assert "service.annotations.max-scale: 10 2" in " ".join(page.page.inner_text("#changes").split())
        tiles = page.tiles()
        assert "worse" in tiles["p50"]
        assert "better" in tiles["GPU-hours"]
        assert "pinned: ready, median" in page.page.locator("#chart-pods .legendtext").all_text_contents()
        page.page.click("#copy-command")
        page.until("document.documentElement.dataset.copied !== undefined")
        copied = page.page.evaluate("document.documentElement.dataset.copied")
        assert copied == "kpasim run painter.yaml --set service.annotations.max-scale=2"
        assert_same_numbers(page, copied, place)

        page.page.focus("#chart-pods")
        page.page.keyboard.press("ArrowRight")
        page.until("document.getElementById('spoken-pods').textContent.length > 20")

        page.page.click("#across-run")
        page.wait("html[data-across='service.annotations.max-scale']")
        page.mark()
        page.page.click("[aria-label='Take max-scale 5']")
        page.settled(REPLICATIONS)
        assert page.page.input_value("#knob-service-annotations-max-scale") == "5"

        page.page.locator("#chart-across").scroll_into_view_if_needed()
        points = page.page.locator("#chart-across .scatterlayer .trace .points path")
        page.mark()
        points.nth(1).click(force=True)
        page.settled(REPLICATIONS)
        assert page.page.input_value("#knob-service-annotations-max-scale") == "3"
        page.mark()
        page.page.fill("#knob-service-annotations-max-scale", "5")
        page.page.keyboard.press("Enter")
        page.settled(REPLICATIONS)

        again = page.page.url
        page.mark()
        page.page.click("[aria-label='Undo service.annotations.max-scale']")
        page.settled(REPLICATIONS)
        assert page.page.locator("#changes li").count() == 0
        assert page.complaints == []
        assert {url.split("/")[2] for url in page.asked if url.startswith("http")} == {address.split("/")[2]}

        restored = Page(started, again)
        restored.settled(REPLICATIONS)
        assert restored.page.input_value("#knob-service-annotations-max-scale") == "5"
        assert "no significant difference" in restored.page.inner_text("#tiles") or "same" in restored.page.inner_text(
            "#tiles"
        )


SHORT = {"chromium": ((400, False), (1024, True), (1920, False)), "firefox": ((400, True),)}
FULL = {name: tuple((width, dark) for width in (400, 1024, 1920) for dark in (False, True)) for name in SHORT}


@pytest.mark.parametrize(
    ("name", "looks"),
    [*SHORT.items(), *(pytest.param(*one, marks=pytest.mark.statistical) for one in FULL.items())],
)
def test_the_page_fits_and_is_accessible(name, looks, place):
    """From 400 to 1920 pixels nothing is cut, and axe-core finds nothing serious, light and dark."""
    browsers.needed(name)
    with served("painter.yaml", place=place) as address:
        for width, dark in looks:
            with browser(name, dark=dark) as started:
                page = Page(started, f"{address}#pin=1&set=service.annotations.max-scale%3D2", width=width, dark=dark)
                page.settled(REPLICATIONS)
                assert page.page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
                assert page.page.evaluate("document.documentElement.scrollWidth") <= width
                page.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
                assert page.accessibility() == []
                assert page.complaints == []
