"""A journal of finished work: what was killed at any moment goes on where it stopped.

Work is numbered in units. What a worker has finished, a run of neighbouring units, becomes one part file, written
aside and renamed: it is there whole or not at all. A part is an Arrow file: Parquet would take longer to write and read
than some of its settings to simulate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kpasim.results.files import atomic_write, make_folder
from kpasim.results.folders import PART
from kpasim.results.summary import Figures

if TYPE_CHECKING:
    import pyarrow as pa


class Journal:
    """A folder of part files."""

    def __init__(self, folder: Path) -> None:
        """Open the journal, or begin it; what a killed process was writing is removed."""
        self.folder = make_folder(folder)
        for aside in folder.glob(".*.part"):
            aside.unlink(missing_ok=True)

    def add(self, units: range, columns: Figures) -> None:
        """Keep the rows of finished units."""
        import pyarrow as pa

        table = pa.table(columns)
        with (
            atomic_write(self.folder / f"{units.start:08d}-{units.stop:08d}.arrow", "wb") as file,
            pa.ipc.new_file(file, table.schema) as part,
        ):
            part.write_table(table)

    def finished(self) -> set[int]:
        """Units whose rows are here."""
        return {unit for _, units in self._parts() for unit in units}

    def table(self) -> pa.Table:
        """All rows, sorted by setting and replication; a column that a part lacks is empty there.

        There must be at least one part.
        """
        import pyarrow as pa

        parts = [pa.ipc.open_file(path).read_all() for path, _ in self._parts()]
        whole = pa.concat_tables(parts, promote_options="default")
        return whole.sort_by([("setting", "ascending"), ("replication", "ascending")]).combine_chunks()

    def _parts(self) -> Iterator[tuple[Path, range]]:
        """Parts that can be read, in order; one that a crash of the machine left empty counts as not there."""
        import pyarrow as pa

        for path in sorted(self.folder.glob("*.arrow")):
            match = PART.fullmatch(path.name)
            if match is None:
                continue
            try:
                pa.ipc.open_file(path)
            except (pa.ArrowInvalid, OSError):
                path.unlink(missing_ok=True)
                continue
            yield path, range(int(match[1]), int(match[2]))


def runs(units: Iterable[int], longest: int) -> list[range]:
    """Neighbouring units as ranges of at most ``longest``, in order."""
    found: list[range] = []
    for unit in sorted(units):
        if found and found[-1].stop == unit and len(found[-1]) < longest:
            found[-1] = range(found[-1].start, unit + 1)
        else:
            found.append(range(unit, unit + 1))
    return found
