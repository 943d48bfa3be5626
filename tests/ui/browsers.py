"""Real browsers and a real `kpasim ui` for tests: Debian's chromium and firefox-esr, driven by playwright."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = {"chromium": shutil.which("chromium"), "firefox": shutil.which("firefox-esr") or shutil.which("firefox")}
DEADLINE_S = 180.0
DEADLINE_MS = 1000 * DEADLINE_S


def needed(name: str) -> None:
    """Skip a test whose browser is missing."""
    if PROGRAMS[name] is None:
        package = {"chromium": "chromium", "firefox": "firefox-esr"}[name]
        pytest.skip(f"needs {name} (apt-get install {package})")


@contextlib.contextmanager
def served(*arguments: str, place: Path) -> Iterator[str]:
    """The address that `kpasim ui` prints."""
    command = [sys.executable, "-m", "kpasim.cli.main", "ui", "--no-open", *arguments]
    path = os.pathsep.join(one for one in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")) if one)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "KPASIM_BACKGROUND": "0"}
    log = place / "ui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (found := re.search(r"http://\S+token=\S+", log.read_text(encoding="utf-8"))):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found[0]
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert "Traceback" not in log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def browser(name: str, *, dark: bool = False) -> Iterator[Any]:
    """A browser that asks for nothing but what the page needs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        if name == "chromium":
            started = driver.chromium.launch(executable_path=PROGRAMS[name], args=["--no-sandbox"])
        else:
            # Debian's Firefox speaks WebDriver BiDi; the scheme is a preference, which it cannot be told later.
            wanted: dict[str, str | float | bool] = {
                "layout.css.prefers-color-scheme.content-override": 0 if dark else 1
            }
            started = driver.firefox.launch(
                executable_path=PROGRAMS[name], channel="moz-firefox", firefox_user_prefs=wanted
            )
        try:
            yield started
        finally:
            started.close()


class Page:
    """The page of `kpasim ui` in a browser, and all that its console said."""

    def __init__(self, started: Any, address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        chosen = {} if started.browser_type.name == "firefox" else {"color_scheme": "dark" if dark else "light"}
        self.page = started.new_page(viewport={"width": width, "height": height}, **chosen)
        self.page.set_default_timeout(DEADLINE_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def wait(self, selector: str) -> None:
        """Wait until something is there."""
        self.page.wait_for_selector(selector, state="attached")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never: {expression}; {self.page.inner_text('#status')}"
            time.sleep(0.05)

    def settled(self, replications: int) -> None:
        """Wait until the figures of all replications of the last change are there."""
        self.until(
            "(() => { const root = document.documentElement.dataset; "
            f"return root.drawn === '{replications}' && Number(root.settled) >= (window.changedAt || 0) "
            "&& !document.body.classList.contains('waiting'); })()"
        )

    def mark(self) -> None:
        """Remember the moment before a change, for `settled`."""
        self.page.evaluate("window.changedAt = performance.now()")

    def tiles(self) -> dict[str, str]:
        """The text of each figure."""
        texts = self.page.eval_on_selector_all("#tiles li", "list => list.map(one => one.innerText)")
        return {text.partition("\n")[0].strip(): " ".join(text.split()) for text in texts}

    def rows(self) -> list[list[str]]:
        """The table of all figures."""
        script = "list => list.map(row => Array.from(row.cells, cell => cell.textContent))"
        found: list[list[str]] = self.page.eval_on_selector_all("#rows tbody tr", script)
        return found

    def accessibility(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped, unused-ignore]

        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes']][:3]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
