"""Runs that ``kpasim validate`` recorded against Knative's real control plane, compressed; see ``folder``."""

from tests.archives import Runs

_RUNS = Runs(__file__)
names, folder = _RUNS.names, _RUNS.folder
