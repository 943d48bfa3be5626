"""How busy this machine was with other programs: where clients and pods had to wait for a core, nothing can be judged.

Source:
    proc(5): ``/proc/stat`` and ``/proc/PID/stat``, in ticks of ``sysconf(_SC_CLK_TCK)``. Time that a hypervisor gave to
    other machines (steal) counts as theirs.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

OTHERS = 0.25
"""Share of all cores that other programs may use."""
IDLE = 0.25
"""Share of all cores that must be idle where they use more."""
_PROC = Path("/proc")


class Used(NamedTuple):
    """Time of cores since the system's start [s].

    Attributes:
        busy_s: Of all programs.
        ours_s: Of this process and its descendants, those that have ended among them.
    """

    at_s: float
    busy_s: float
    ours_s: float
    cores: int


def used() -> Used | None:
    """What has been used until now; ``None`` where the system does not tell."""
    try:
        ticks = float(os.sysconf("SC_CLK_TCK"))
        lines = (_PROC / "stat").read_text().splitlines()
        user, nice, system, _idle, _iowait, irq, soft, steal = (float(one) for one in lines[0].split()[1:9])
        cores = sum(line.startswith("cpu") for line in lines) - 1
        return Used(time.monotonic(), (user + nice + system + irq + soft + steal) / ticks, _ours() / ticks, cores)
    except (OSError, ValueError, AttributeError):
        return None


def trouble(begun: Used | None, ended: Used | None) -> str:
    """Why a measurement between two moments cannot be judged; empty where it can, or where nothing is known."""
    if begun is None or ended is None or ended.at_s <= begun.at_s:
        return ""
    lasted_s = ended.at_s - begun.at_s
    busy = (ended.busy_s - begun.busy_s) / lasted_s
    others = busy - (ended.ours_s - begun.ours_s) / lasted_s
    if others <= OTHERS * ended.cores or ended.cores - busy >= IDLE * ended.cores:
        return ""
    return f"other programs used {others:.1f} of {ended.cores} cores"


def _ours() -> float:
    """Ticks of this process and its descendants; whatever ended is counted by its parent."""
    parent, ticks = {}, {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parent[int(entry.name)] = int(fields[1])
        ticks[int(entry.name)] = sum(int(one) for one in fields[11:15])
    ours = {os.getpid()}
    grown = True
    while grown:
        found = {process for process, above in parent.items() if above in ours}
        grown = not found <= ours
        ours |= found
    return float(sum(ticks.get(process, 0) for process in ours))
