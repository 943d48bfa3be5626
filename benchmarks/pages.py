"""Putting what a benchmark has measured into the pages that show it."""

from collections.abc import Iterable
from pathlib import Path

from kpasim.results.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]


def put(page: str, program: str, text: str) -> None:
    """Replace what stands between a program's two marks in a page.

    Args:
        page: The page, from the top of the repository.
        program: The program, likewise; its marks name it.
        text: What is to stand there.

    Raises:
        ValueError: The page lacks the marks.
    """
    begin, end = f"<!-- made by {program}: begin -->", f"<!-- made by {program}: end -->"
    path = ROOT / page
    before, first, rest = path.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"{page}: no place for what {program} makes ({begin} ... {end})")
    with atomic_write(path) as file:
        file.write(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def table(heads: Iterable[str], lines: Iterable[Iterable[str]], *, to_the_right: bool = False) -> str:
    """A Markdown table; all columns but the first ``to_the_right``, where they hold numbers."""
    heads = list(heads)
    rule = "| --- |" + " ---: |" * (len(heads) - 1) if to_the_right else "|---" * len(heads) + "|"
    out = ["| " + " | ".join(heads) + " |", rule]
    return "\n".join([*out, *("| " + " | ".join(line) + " |" for line in lines)])
