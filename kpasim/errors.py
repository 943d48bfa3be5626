"""What can go wrong that a user can mend. Everything else is our bug and keeps its traceback."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


def printable(text: str) -> str:
    """``text`` with its control characters escaped, so that names from files cannot steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class KpasimError(Exception):
    """Base of every error that a user can mend; its text is what the command line prints.

    Attributes:
        status: Exit status of the command line.
    """

    status = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    Attributes:
        place: Dotted key, or whatever names the place inside the file.
        message: What is wrong and what would be right, in one line.
        line: Line in the file, counted from 1, or ``None`` where it has none.
    """

    place: str
    message: str
    line: int | None = None


class FileError(KpasimError):
    """A file that cannot be used as written.

    Attributes:
        path: The file.
        problems: One entry for each thing wrong with it, in the order of the file.
    """

    def __init__(self, path: str | Path, problems: Sequence[Problem]) -> None:
        self.path = str(path)
        self.problems = tuple(problems)
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    @classmethod
    def of(cls, path: str | Path, message: str, line: int | None = None, *, place: str = "") -> Self:
        """The error for a file with one thing wrong, at a place inside it or as a whole."""
        return cls(path, [Problem(place, message, line)])

    def _line(self, problem: Problem) -> str:
        where = self.path if problem.line is None else f"{self.path}:{problem.line}"
        return f"{where}: {problem.place}: {problem.message}" if problem.place else f"{where}: {problem.message}"


class ExperimentError(FileError):
    """An experiment, manifest, ConfigMap, model or sweep file that cannot be run as written."""


class RecordError(FileError):
    """A measured file (hey report, trace, run folder ...) that cannot be read as written."""


class RunError(KpasimError):
    """A run that cannot be carried out: an impossible request, a missing extra, a full disk."""


class MissingExtraError(RunError):
    """A part of kpasim that was not installed.

    Args:
        extra: Which.
        error: What could not be imported.
    """

    def __init__(self, extra: str, error: ImportError) -> None:
        super().__init__(f"the {extra} extra is missing ({error}): pip install 'kpasim[{extra}]'")
