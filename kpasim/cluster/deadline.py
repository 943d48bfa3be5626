"""Nothing waits for ever: a deadline is handed down to whatever waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from kpasim.cluster.errors import DeadlineError

_SILENT_S = 5.0
_AGAIN_S = 60.0


class Deadline:
    """A moment after which waiting is over; messages say ``what`` is waited for.

    ``check`` is called at each wait and raises to stop early (an interrupt, a failed watch). ``note`` is told of a wait
    of more than five seconds, with what was seen last: at once where that changes, else each minute.
    """

    def __init__(
        self,
        seconds: float,
        what: str,
        check: Callable[[], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.seconds = seconds
        self.what = what
        self._check, self._note = check, note
        self._end_s = time.monotonic() + seconds
        self._told_s, self._told = time.monotonic() - _AGAIN_S + _SILENT_S, ""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self._end_s - time.monotonic())

    def shorter(self, seconds: float, what: str) -> Deadline:
        """A deadline inside this one: whichever comes first counts."""
        return Deadline(min(seconds, self.left_s), what, self._check, self._note)

    def check(self, state: str = "") -> None:
        """Raise DeadlineError when the time is over; its message ends with what was seen last."""
        if self._check is not None:
            self._check()
        if self.left_s <= 0:
            raise self.passed(state)

    def passed(self, state: str = "") -> DeadlineError:
        """The error to raise when the time is over."""
        seen = f": {state}" if state else ""
        return DeadlineError(f"{self.what}: not done within {self.seconds:.0f} s{seen}")

    def wait(self, seconds: float, state: str = "") -> None:
        """Sleep for ``seconds``, or until the deadline, then check."""
        self.check(state)
        self._tell(state)
        time.sleep(min(seconds, self.left_s))

    def _tell(self, state: str) -> None:
        silent_s = time.monotonic() - self._told_s
        new = state not in ("", self._told) and self._told != ""
        if self._note is not None and silent_s > (_SILENT_S if new else _AGAIN_S):
            self._note(f"waiting: {self.what}" + (f": {state}" if state else ""))
            self._told_s, self._told = time.monotonic(), state or self._told
