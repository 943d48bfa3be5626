"""Texts that reach users are in the words of the field: help, messages, documentation, schemas, names."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import kpasim
from kpasim.spec.schema import schema
from tests.documented import ROOT, help_pages, pages

WORDS = {
    r"play(s|ed|ing|er|ers)?": "simulate, run, runner",
    r"promises?": "SLO",
    r"answer(s|ed)": "response, completed request",
    r"told apart|tell apart|alike": "(no) significant difference, similar",
    r"dear(er|est)": "more expensive",
    r"quick(er|est|ly)?": "fast",
    r"least to|to the greatest": "min to max",
    r"most pods|fewest pods": "peak pods, max, min",
    r"pod[ -]time|gpu[ -]time": "pod-hours, GPU-hours",
    r"asked to go": "terminating",
    r"(machines|pods)( that)?( come)? (one at a time|one after the other|one by one)": "serialised provisioning",
    r"slow-?downs?": "contention factor",
    r"stand there": "type, value",
    r"remarks?": "comment",
    r"mend(s|ed|ing)?": "fix",
    r"g(i|a)ve up": "client timeout",
    r"in turns?|takes? turns": "in order, round robin",
    r"bent|bends?|leaning": "tilted",
    r"in step": "phase-aligned",
    r"explanations?": "candidate model",
    r"rooms?": "capacity",
    r"ghosts?|mates": "orphaned request, pods on the node",
    r"lateness(es)?": "jitter",
    r"stand-?ins?": "fake cluster",
    r"keepers?": "reaper",
    r"fronts?": "gateway (Pareto front is the field's word)",
    r"agenda": "event queue",
    r"of mine": "the task, such as: set prices",
    r"as_written": "to_dict",
    r"spoken": "format_duration",
    r"slowest": "max",
}
"""Words of this house, as regular expressions, and what is said instead."""
HOUSE = re.compile("|".join(rf"(?<![\w-])(?:{word})(?![\w])" for word in WORDS), re.I)

FIELD = re.compile(
    r"pareto fronts?|in front of|\bfront\.(png|svg)|client-to-front|front-to-server|`?\bslowdown\b`?"
    r"|average, fastest, slowest|\]\(explanation/|\]\(\.\./explanation/|total, slowest, fastest",
    re.I,
)
"""What these expressions also match, and is meant.

Pareto front and `in front of` are English; front.png, client-to-front, front-to-server and slowdown are names in files
that users have; `Details (average, fastest, slowest)` and `total, slowest, fastest` are lines of hey's report;
explanation/ is the folder of pages that explain (the fourth kind of documentation besides tutorial, guide, reference).
"""

EXCEPTIONS = {
    "explanations": "key of `kpasim calibrate --json`",
    "alike": "key of `kpasim calibrate --json`",
    "Slowest": "line of hey's report",
    "slowest": "line of hey's report, also --without slowest",
    "hey.slowest": "figure of hey's report",
    "(Total|Slowest|Fastest|Average):\\s*": "pattern of hey's report",
    "front": "name of a chart: the Pareto front",
    "front-": "name of a chart: the Pareto front",
    "spoken": "CSS class of what a screen reader reads aloud",
    "spoken-": "CSS class of what a screen reader reads aloud",
}
"""Literals that stay, each with its reason."""


def house_words(text: str) -> list[str]:
    """The words of this house in a text."""
    return [found[0] for found in HOUSE.finditer(FIELD.sub(" ", text))]


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module that is no docstring: messages, help, headings, and the pieces of f-strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "text", ["two kinds of requests that play", "it answers", "Machines come one at a time", "a remark", "the front"]
)
def test_house_words_are_found(text):
    """The expressions match what they are for."""
    assert house_words(text)


@pytest.mark.parametrize("text", ["the Pareto front", "display", "five clients in front of one pod", "recommend"])
def test_words_of_the_field_are_let_through(text):
    """They do not match other words."""
    assert not house_words(text)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages()], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_page_is_in_the_words_of_the_field(page):
    """README and documentation say simulate, SLO, response, peak pods ..."""
    found = [
        (number, word)
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for word in house_words(line)
    ]

    assert not found


@pytest.mark.parametrize("name", [name for name, _ in help_pages()])
def test_help_is_in_the_words_of_the_field(name):
    """So do the help pages of all commands, with the names of their options and choices."""
    command = dict(help_pages())[name]
    text = command.get_help(click.Context(command, info_name=name))

    assert not house_words(" ".join(text.split()))


@pytest.mark.parametrize(
    "path",
    [path for folder in ("deploy", "experiments", "models") for path in sorted((ROOT / folder).rglob("*.yaml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_to_copy_are_in_the_words_of_the_field(path):
    """So do experiments, manifests and models that come with kpasim."""
    assert not house_words(path.read_text(encoding="utf-8"))


def test_messages_are_in_the_words_of_the_field():
    """So do all strings of the package that can reach a user."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}: {text[:80]}"
        for path in sorted((ROOT / "kpasim").rglob("*.py"))
        for line, text in literals(path)
        if text not in EXCEPTIONS
        for word in house_words(text)
    ]

    assert not found


@pytest.mark.parametrize(
    "name",
    [
        "reasons.toml",
        "backtest.toml",
        "findings.toml",
        "reports.toml",
        "prometheus.toml",
        "first-experiment.yaml",
        "imported-experiment.yaml",
    ],
)
def test_messages_and_texts_in_files_are_in_the_words_of_the_field(name):
    """So are the messages and texts that the package has as data."""
    assert not house_words((ROOT / "kpasim" / "data" / name).read_text(encoding="utf-8"))


def test_every_exception_is_needed():
    """An exception that no module holds any more goes."""
    there = {text for path in (ROOT / "kpasim").rglob("*.py") for _, text in literals(path)}

    assert set(EXCEPTIONS) <= there


@pytest.mark.parametrize("kind", ["experiment", "sweep", "model"])
def test_schemas_are_in_the_words_of_the_field(kind):
    """So do the descriptions in the JSON schemas, which editors and `kpasim explain` show."""
    assert not house_words(json.dumps(schema(kind)).replace("\\n", " "))


def test_public_names_are_words_of_the_field():
    """And the names of the package."""
    names = [name for public in kpasim.__all__ for name in (public, *dir(getattr(kpasim, public)))]

    assert not [name for name in names if not name.startswith("_") and house_words(name.replace("_", " "))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title(page):
    """The title of a page is the same in the navigation and on the page; the first page has the project's name."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    title = page.read_text(encoding="utf-8").partition("\n")[0]
    place = page.relative_to(ROOT / "docs").as_posix()
    entry = re.search(rf"- (.+): {re.escape(place)}$", navigation, re.M)

    assert entry
    assert title == ("# kpasim" if place == "index.md" else f"# {entry[1]}")
