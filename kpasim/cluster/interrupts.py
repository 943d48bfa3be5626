"""Ctrl-C and SIGTERM stop a run once, at a place where what was created is removed afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from kpasim.cluster.errors import InterruptedRunError

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Turn signals into one exception inside ``with interrupts.allowed():`` and none outside.

    A plain KeyboardInterrupt may come at any instruction, also in the ``finally`` that cleans up. Here the handler
    raises only inside the allowed block, once, and forbids itself before it raises::

        with Interrupts() as interrupts:
            try:
                with interrupts.allowed():
                    run()
            finally:
                clean_up()          # no signal raises here

    A signal that arrives elsewhere is remembered. What is raised inside is a KeyboardInterrupt, so that no
    ``except Exception`` on its way swallows it; it leaves the outer block as InterruptedRunError. Outside the main
    thread, where Python allows no handlers, nothing is installed and ``check`` never raises.

    Attributes:
        requested: Name of the latest signal, empty where none came.
    """

    def __init__(self) -> None:
        self.requested = ""
        self._raises = False
        self._raised = False
        self._previous: dict[int, Any] = {}
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._swallowed
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        if self._previous:
            sys.unraisablehook = self._unraisable
        if isinstance(error, _Stop):
            raise InterruptedRunError(f"stopped by {self.requested}", self.requested) from None

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """The block in which a signal raises."""
        try:
            self._raises = True
            self.check()
            yield
        finally:
            self._raises = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which a signal does not raise: whoever runs an event loop looks at ``requested`` instead.

        An exception at any instruction of an event loop would leave its tasks half done.
        """
        raises, self._raises = self._raises, False
        try:
            yield
        finally:
            self._raises = raises

    def check(self) -> None:
        """Raise if a signal came that could not be raised where it arrived.

        Python swallows what is raised inside a finaliser; a loop that waits calls this, so no signal is lost.
        """
        if self._raises and self.requested:
            self._raises, self._raised = False, True
            raise _Stop(self.requested)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"kpasim: stopping; removing what was created\n")
        if self._raises and not self._raised:
            self._raised = True
            raise _Stop(self.requested)

    def _swallowed(self, found: sys.UnraisableHookArgs) -> None:
        """Say nothing of our own exception where Python could not raise it: `check` raises it again."""
        if not isinstance(found.exc_value, _Stop):
            self._unraisable(found)


class _Stop(KeyboardInterrupt):
    """What travels through the allowed block."""
