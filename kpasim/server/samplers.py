"""AUTOMATIC1111's samplers and noise schedules in diffusers' words."""

import inspect
import tomllib
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple


class Sampler(NamedTuple):
    """One sampler.

    Attributes:
        name: AUTOMATIC1111's name.
        kind: Name of the diffusers scheduler class.
        settings: What the class is made with beyond the model's own noise schedule.
        automatic: The noise schedule that ``Automatic`` stands for.
    """

    name: str
    kind: str
    settings: Mapping[str, Any] = MappingProxyType({})
    automatic: str = "uniform"


class Schedule(NamedTuple):
    """One noise schedule: AUTOMATIC1111's name and label, and diffusers' settings for it."""

    name: str
    label: str
    settings: Mapping[str, Any] = MappingProxyType({})


DATA = tomllib.loads(resources.files("kpasim.server").joinpath("pipelines.toml").read_text(encoding="utf-8"))
"""What pipelines.toml holds."""
SAMPLERS = {name: Sampler(name, **one) for name, one in DATA["samplers"].items()}
"""Samplers by name."""
SCHEDULES = tuple(Schedule(name, **one) for name, one in DATA["schedules"].items())
"""Noise schedules."""

_BY_NAME = {key: schedule for schedule in SCHEDULES for key in (schedule.name, schedule.label)}


def find(sampler_name: str, schedule_name: str | None) -> tuple[Sampler, Schedule] | None:
    """The sampler and noise schedule that a client names, or ``None`` where the sampler is not known.

    ``DPM++ 2M Karras``, as older clients write it, names both. An unknown schedule is taken for ``Automatic``, as
    AUTOMATIC1111 does.
    """
    schedule = _BY_NAME.get(schedule_name or "automatic", SCHEDULES[0])
    for other in SCHEDULES:
        stem = sampler_name.removesuffix(f" {other.label}")
        if stem != sampler_name:
            sampler_name, schedule = stem, other
            break
    sampler = SAMPLERS.get(sampler_name)
    return None if sampler is None else (sampler, schedule)


def make(sampler: Sampler, schedule: Schedule, model_schedule: Any) -> Any:
    """A fresh diffusers scheduler for one request, out of the configuration that the model was trained with.

    A noise schedule that the class has no setting for is left out.
    """
    import diffusers

    kind = getattr(diffusers, sampler.kind)
    if schedule.name == "automatic":
        schedule = _BY_NAME[sampler.automatic]
    known = inspect.signature(kind.__init__).parameters
    wanted = {key: value for key, value in schedule.settings.items() if key in known}
    return kind.from_config(model_schedule, **sampler.settings, **wanted)
