"""Take the pictures of the page: `python docs/screenshots.py`, a minute; needs chromium and the `test` extra.

Each picture is the page of `kpasim ui` as Debian's chromium shows it; nothing is drawn over it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
COLOURS = 255
"""Colours of a picture: a page has few, and the files stay small."""


def main() -> None:
    """Take all pictures."""
    sys.path.insert(0, str(ROOT))
    from tests.ui.browsers import browser, served

    place = tempfile.TemporaryDirectory(prefix="kpasim-ui-")
    file = str(ROOT / "experiments" / "hey50x5.yaml")
    with place as folder, served(file, place=Path(folder)) as address, browser("chromium") as started:
        _pinned(started, address)
        _across(started, address)
        _broken(started, address)


def _pinned(started: Any, address: str) -> None:
    """Three pods at most beside ten: figures with verdicts, and both variants in the charts."""
    from tests.ui.browsers import Page

    page = Page(started, f"{address}#pin=1&set=service.annotations.max-scale%3D3", width=1360, height=860)
    page.settled(200)
    _save(page, "ui.png")


def _across(started: Any, address: str) -> None:
    """One setting over its range."""
    from tests.ui.browsers import Page

    page = Page(started, address, width=1360)
    page.settled(200)
    page.page.select_option("#across-path", "service.annotations.max-scale")
    page.wait("html[data-across]")
    page.page.locator("[aria-label='Across one setting']").scroll_into_view_if_needed()
    page.until("document.querySelectorAll('#chart-across .legendtext').length > 0")
    picture = page.page.locator("[aria-label='Across one setting']").screenshot()
    _write(picture, "ui-across.png")


def _broken(started: Any, address: str) -> None:
    """A manifest with an error, and its message."""
    from tests.ui.browsers import Page

    page = Page(started, address, width=1360)
    page.settled(200)
    editor = page.page.locator("#manifest")
    editor.fill(editor.input_value().replace("containerConcurrency: 1", "containerConcurrency: -1"))
    page.wait("#lines li")
    page.page.evaluate("document.getElementById('findings').hidden = true")
    _write(page.page.locator("#group-manifest").screenshot(), "ui-manifest.png")


def _save(page: Any, name: str) -> None:
    page.page.mouse.move(0, 0)
    _write(page.page.screenshot(), name)


def _write(picture: bytes, name: str) -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(IMAGES / name, optimize=True)
    print(f"docs/images/{name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
