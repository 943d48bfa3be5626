"""Where to look for better settings: the values they may take, and which lie next to each other."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from kpasim.errors import ExperimentError, RunError
from kpasim.spec.difference import is_measure
from kpasim.spec.experiment import Experiment
from kpasim.spec.sharing import CONCURRENCY, is_known
from kpasim.spec.sweep import Range
from kpasim.spec.yamlfile import parse_documents
from kpasim.studies.search.sobol import sobol

Place = tuple[int, ...]
"""A point of the space: the index of the value of each axis."""

ANNOTATION = "service.annotations."
MIN_SCALE, MAX_SCALE = f"{ANNOTATION}min-scale", f"{ANNOTATION}max-scale"
MAX_SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 75, 100)
MIN_SCALES = (0, 1, 2, 3, 4, 5, 6, 8, 10)
MEASURE = "is how the service is measured, not a setting of it (set it before: --set)"
FEW_PODS = 10
"""Max-scale is tried up to this, and up to twice the manifest's."""
CONCURRENCIES = (1, 2, 4, 8, 16, 32)


class _AsItIs:
    """The value of an axis that leaves the experiment as it is."""

    def __repr__(self) -> str:
        return "as it is"


AS_IT_IS = _AsItIs()


class Space:
    """All combinations of the values that settings may take; each setting may also stay as it is.

    Attributes:
        axes: Values by path, in the order in which they are next to each other; ``AS_IT_IS`` among them.
        origin: The point that is the experiment as it is.
    """

    def __init__(self, axes: Mapping[str, Sequence[Any]], unchanged: Callable[[str, Any], bool] | None = None) -> None:
        """Prepare the space; ``unchanged`` says whether a value of a path leaves the experiment as it is."""
        self.axes = {path: _with_as_it_is(path, values, unchanged) for path, values in axes.items()}
        self.origin: Place = tuple(values.index(AS_IT_IS) for values in self.axes.values())
        self._sizes = [len(values) for values in self.axes.values()]

    def __len__(self) -> int:
        return math.prod(self._sizes)

    def settings(self, place: Place) -> dict[str, Any]:
        """The settings of a point that differ from the experiment."""
        values = zip(self.axes.items(), place, strict=True)
        return {path: of_axis[index] for (path, of_axis), index in values if of_axis[index] is not AS_IT_IS}

    def changes(self, place: Place) -> int:
        """How many settings of a point differ from the experiment."""
        return sum(index != own for index, own in zip(place, self.origin, strict=True))

    def between(self, place: Place) -> list[Place]:
        """All points that take some of the changes of a point back, those with the fewest changes first."""
        ends = [sorted({index, own}) for index, own in zip(place, self.origin, strict=True)]
        return sorted((one for one in itertools.product(*ends) if one != place), key=self.changes)

    def every(self) -> Iterator[Place]:
        """All points."""
        return itertools.product(*(range(size) for size in self._sizes))

    def sample(self, count: int, seed: int) -> list[Place]:
        """Some points that fill the space evenly, and its corners as far as they are few; all points of a small one."""
        if len(self) <= count:
            return list(self.every())
        ends = [sorted({0, size - 1}) for size in self._sizes]
        corners = list(itertools.product(*ends)) if math.prod(map(len, ends)) <= count // 4 else []
        shares = sobol(len(self._sizes), math.ceil(math.log2(max(count, 2))), seed)
        points = [tuple(int(u * size) for u, size in zip(row, self._sizes, strict=True)) for row in shares.tolist()]
        return list(dict.fromkeys([*corners, *points]))[:count]

    def lines(self, place: Place) -> list[Place]:
        """All points that differ in one axis."""
        return [
            (*place[:axis], index, *place[axis + 1 :])
            for axis, size in enumerate(self._sizes)
            for index in range(size)
            if index != place[axis]
        ]

    def diagonals(self, place: Place) -> list[Place]:
        """All points that differ by one or two steps in each of two axes."""
        found = []
        for one, other in itertools.combinations(range(len(self._sizes)), 2):
            for up, across in itertools.product((-2, -1, 1, 2), repeat=2):
                point = list(place)
                point[one] += up
                point[other] += across
                if 0 <= point[one] < self._sizes[one] and 0 <= point[other] < self._sizes[other]:
                    found.append(tuple(point))
        return found


def _with_as_it_is(path: str, values: Sequence[Any], unchanged: Callable[[str, Any], bool] | None) -> list[Any]:
    """The values of an axis, those that change nothing replaced by ``AS_IT_IS``, which comes first if there is none."""
    same = [unchanged is not None and unchanged(path, value) for value in values]
    if True not in same:
        return [AS_IT_IS, *values]
    first = same.index(True)
    return [
        AS_IT_IS if index == first else value for index, value in enumerate(values) if index == first or not same[index]
    ]


def parse_axes(experiment: Experiment, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read what may vary: each ``PATH=1,2,4``, ``PATH=[a, b]`` or ``PATH={from: 1, to: 9, step: 2}``.

    Args:
        experiment: What is varied; every value must be right in it, by itself or beside a value of another axis.
        texts: Path and values of each axis.

    Raises:
        RunError: One cannot be read, or a value is refused.
    """
    axes = dict(_axis(text) for text in texts)
    for text, (path, values) in zip(texts, axes.items(), strict=False):
        for value in values:
            refusal = _refusal(experiment, {path: value})
            others = ({other: beside, path: value} for other in axes if other != path for beside in axes[other])
            if refusal and all(_refusal(experiment, settings) for settings in others):
                raise RunError(f"--vary {text}: {refusal}")
    return axes


def _axis(text: str) -> tuple[str, list[Any]]:
    path, equals, given = text.partition("=")
    path = path.strip()
    if is_measure(path):
        raise RunError(f"--vary {text}: {MEASURE}")
    try:
        if not equals or not path:
            raise ValueError("has no values")
        return path, _values(given.strip())
    except ValueError as error:
        raise RunError(f"--vary {text}: {error} (write PATH=1,2,4 or PATH='{{from: 1, to: 9, step: 2}}')") from None


def _refusal(experiment: Experiment, settings: Mapping[str, Any]) -> str:
    """Why the experiment cannot have these settings; empty where it can."""
    try:
        experiment.with_settings(settings)
    except ExperimentError as error:
        return error.problems[0].message
    return ""


def _values(text: str) -> list[Any]:
    """Values of an axis in YAML; without brackets they are a list all the same.

    Raises:
        ValueError: They are neither a list nor a range.
    """
    source = text if text[:1] in {"[", "{"} else f"[{text}]"
    documents = parse_documents(source, "--vary")
    data = documents[0].data if documents else None
    if isinstance(data, dict):
        try:
            return Range.model_validate(data).values()
        except ValidationError:
            raise ValueError("is no range") from None
    if not isinstance(data, list) or not data:
        raise ValueError("has no values")
    return data


def default_axes(experiment: Experiment) -> dict[str, list[Any]]:
    """What may be tried when nobody says: settings of the Service that cost nothing to change.

    Max-scale may go above the manifest's: more pods for a shorter time are often what meets an SLO.
    ``containerConcurrency`` is among them where the model says what it costs when several requests share a pod.
    """
    present = experiment.revision.max_scale
    most = max(FEW_PODS, 2 * present)
    axes: dict[str, list[Any]] = {
        MIN_SCALE: [scale for scale in MIN_SCALES if scale <= most],
        MAX_SCALE: sorted({*(scale for scale in MAX_SCALES if scale <= most), *([present] if present else [])}),
        f"{ANNOTATION}target-utilization-percentage": [50, 60, 70, 80, 90, 100],
        f"{ANNOTATION}window": ["15s", "30s", "1m", "2m", "5m"],
        f"{ANNOTATION}scale-down-delay": ["0s", "30s", "2m", "5m"],
        f"{ANNOTATION}scale-to-zero-pod-retention-period": ["0s", "5m", "15m"],
    }
    slots = experiment.model.service_time.slots
    if slots != 1 and is_known(experiment):
        limit = slots or max(CONCURRENCIES)
        axes[CONCURRENCY] = [one for one in CONCURRENCIES if one <= limit]
    return {path: values for path, values in axes.items() if len(values) > 1 and _takes(experiment, path, values)}


def check_sharing(experiment: Experiment, axes: Mapping[str, Sequence[Any]]) -> None:
    """Refuse to compare values of `containerConcurrency` under a model that does not say what sharing costs.

    Raises:
        RunError: That is so.
    """
    if len(axes.get(CONCURRENCY, ())) > 1 and not is_known(experiment):
        raise RunError(
            f"{CONCURRENCY} cannot be tuned: the model has no contention factor "
            "(give model.service-time.slots or slowdown; kpasim calibrate measures it)"
        )


def _takes(experiment: Experiment, path: str, values: Sequence[Any]) -> bool:
    """Whether the experiment can have at least two of the values."""
    return sum(not _refusal(experiment, {path: value}) for value in values) > 1
