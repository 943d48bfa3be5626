"""The 94 recorded runs of the real autoscaler, compressed; ``folder(name)`` unpacks them once per process."""

from tests.archives import Runs

_RUNS = Runs(__file__)
names, folder = _RUNS.names, _RUNS.folder
