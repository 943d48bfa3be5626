"""What a real Prometheus scraped of Knative's own programs, beside every request and pod of the run, compressed.

Each folder is a run folder with ``raw.json``, the series as ``/api/v1/query`` answers a range selector, one scrape
every 5 s. Three have another form as well: ``outage/range15.json``, ``errors/openmetrics.txt``,
``bursts-cold5/dump.txt``. The Service is called like the run, its namespace ``default``.
"""

import functools

from kpasim.records.prometheus.observation import Observation
from kpasim.records.prometheus.observe import from_files
from tests.archives import Runs

_RUNS = Runs(__file__)
names, folder = _RUNS.names, _RUNS.folder
NAMESPACE = "default"


@functools.cache
def observation(name: str, file: str = "raw.json") -> Observation:
    """What a run's series say."""
    return from_files([folder(name) / file], service=name, namespace=NAMESPACE)
