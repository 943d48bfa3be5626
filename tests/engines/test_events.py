"""The list of events in docs/development is what the model does."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from kpasim.engines import model
from kpasim.engines.clock import Kind
from kpasim.engines.model import events

CLOCKS = {
    Kind[name]
    for file in Path(inspect.getfile(model)).parent.glob("*.py")
    for name in re.findall(r"sim\.wake\(.+, ([A-Z_]+), \w+\)", file.read_text(encoding="utf-8"))
}
"""Kinds whose next moment is kept in the state instead of the queue."""


def test_the_list_names_every_function_that_handles_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each kind, in the order of simultaneous events, with the functions that are then called."""
    listed = [
        (Kind[kind], set(re.findall(r"``(\w+\.\w+)``", what)))
        for kind, what in re.findall(r"^\| ([A-Z_]+) \| (.+) \|$", inspect.getdoc(events), re.MULTILINE)
    ]
    assert [kind for kind, _ in listed] == list(Kind)

    called: set[str] = set()
    for module in {name.split(".")[0] for _, names in listed for name in names}:
        functions = {
            name: lambda *_, name=f"{module}.{name}": called.add(name)
            for name, _ in inspect.getmembers(getattr(events, module), inspect.isfunction)
        }
        monkeypatch.setattr(events, module, SimpleNamespace(**functions))
    sim = SimpleNamespace(
        now_ns=0,
        clients=SimpleNamespace(rows=1, sent=0, next_give_up_ns=0),
        ingress=SimpleNamespace(next_timeout_ns=0),
        params=SimpleNamespace(activators=1),
    )
    for kind, names in listed:
        called.clear()
        for entity in (0, 1):
            events.handle(sim, kind, entity)
        if kind in CLOCKS:
            events.handle_clock(sim, kind, 0)
        assert called == names, kind.name
