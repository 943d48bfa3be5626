"""What Prometheus recorded of a Knative service: from its API or from files to an `Observation`."""

from kpasim.records.prometheus.observation import Observation

__all__ = ["Observation"]
