"""What the tests of the cluster share."""

import pytest

from kpasim.cluster import quiet
from kpasim.cluster.load import Sent


@pytest.fixture
def a_machine_as_it_is() -> None:
    """For a test that may be told that nothing can be judged."""


@pytest.fixture(autouse=True)
def _a_quiet_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run beside each other: whether this machine or the client was busy is no part of what they ask."""
    if "test_quiet" not in request.node.path.name and "a_machine_as_it_is" not in request.fixturenames:
        monkeypatch.setattr(quiet, "used", lambda: None)
        monkeypatch.setattr(Sent, "trouble", lambda _: "")
