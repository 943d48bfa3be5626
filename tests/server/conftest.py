"""What the tests of the server share."""

from collections.abc import Iterator

import pytest

from tests.server.processes import Server, start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A ready server with the tiny model for all tests of a file."""
    running = start(tmp_path_factory.mktemp("server") / "log", "--random-weights", "tiny")
    try:
        running.await_ready()
        yield running
    finally:
        running.end()
