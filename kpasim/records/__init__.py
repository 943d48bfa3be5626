"""Reading other people's files: what load generators, kubectl and production left behind."""

from kpasim.records.read import read
from kpasim.records.record import Record

__all__ = ["Record", "read"]
