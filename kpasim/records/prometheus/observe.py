"""Observing a Knative service: from files, or from a server that answers Prometheus' API."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kpasim.errors import RunError, printable
from kpasim.records.prometheus import names
from kpasim.records.prometheus.assemble import assemble
from kpasim.records.prometheus.client import Client
from kpasim.records.prometheus.files import joined, read_files
from kpasim.records.prometheus.observation import Observation, Query
from kpasim.records.prometheus.selection import Served, no_service, services
from kpasim.records.record import iso

LONG_S = 6 * 3600.0
"""Windows longer than this have their histograms at a coarser step."""
LEAST_INTERVAL_S = 1.0
"""Shortest scrape interval that questions are cut for [s]."""
HISTOGRAM_STEP_S = 300.0
"""That step [s]. The last value of each step is exact, so that nothing of a pod that ended is lost."""


def from_files(
    paths: Iterable[str | Path],
    *,
    service: str | None = None,
    namespace: str | None = None,
    window_s: tuple[float, float] | None = None,
    time_zone: str = "UTC",
) -> Observation:
    """The observation that files hold: answers of ``query_range`` and ``query`` (a matrix), OpenMetrics, a TSDB's dump.

    Files may be packed; series of the same labels are joined. Where ``None``, the Knative service and its namespace are
    the only ones in the files, and ``window_s`` (from and to [s since 1970]) is all that the files hold.

    Raises:
        RecordError: A file cannot be read.
        RunError: No such service; the message names those that are there.
    """
    files = [Path(path) for path in paths]
    served, step_s = read_files(files)
    if service is None or namespace is None:
        there = sorted(
            (space, name) for space, name in services(served) if service in (None, name) and namespace in (None, space)
        )
        if len(there) != 1:
            listed = ", ".join(f"{space}/{name}" for space, name in there or sorted(services(served)))
            if not listed:
                raise _nothing_of_knative(served)
            raise RunError(f"name the service and its namespace; the files hold {listed}")
        namespace, service = there[0]
    return assemble(
        served,
        service=service,
        namespace=namespace,
        window_s=window_s,
        step_s=step_s,
        histogram_step_s=step_s,
        time_zone=time_zone,
        source=", ".join(file.name for file in files),
    )


def from_server(
    client: Client,
    *,
    service: str,
    namespace: str,
    window_s: tuple[float, float],
    step_s: float = 0.0,
    matchers: Sequence[str] = (),
    time_zone: str = "UTC",
    note: Callable[[str], None] = lambda text: None,
) -> Observation:
    """The observation of a service, from a server that answers Prometheus' API.

    The samples are the server's own. Of windows longer than `LONG_S`, buckets of histograms and values that hardly
    change (``target_info``, kube-state-metrics) are the last of each `HISTOGRAM_STEP_S`, and the window begins a
    multiple of that step before its end.

    ``window_s`` is from and to [s since 1970]. With ``step_s`` other than 0 ``query_range`` is asked with this step
    instead of the samples. ``matchers`` are further matchers of labels, such as ``cluster="a"``; ``note`` takes what a
    user should know while waiting.

    Raises:
        RunError: The server does not answer, or no series speaks of the service.
    """
    begin, end = window_s
    coarse_s = step_s or (HISTOGRAM_STEP_S if end - begin > LONG_S else 0.0)
    if coarse_s:  # The grid has a point at the begin and one at the end.
        end = round(end, 3) if not step_s else end // step_s * step_s
        begin = end - coarse_s * -(-(end - begin) // coarse_s)
    more = "".join(f",{matcher}" for matcher in matchers)
    own = [
        f"{{{_named(_METRICS_WITH_SERVICE[generation])},{space}={_quoted(namespace)},{name}={_quoted(service)}{more}}}"
        for generation, space, name in _SERVICE_LABELS
    ]
    found = [one for one in client.labels_of_series(own, begin, end) if one.get("__name__") in names.BY_SERVED]
    known = [(one, names.vocabulary(one, names.BY_SERVED[one["__name__"]][0].generation)) for one in found]
    revisions = sorted({labels.get("kn_revision_name", "") for _, labels in known} - {""})
    if not revisions:
        anyone = [
            f'{{{_named(_METRICS_WITH_SERVICE[generation])},{name}!=""{more}}}'
            for generation, _, name in _SERVICE_LABELS
        ]
        there = services([Served(one, _NONE, _NONE) for one in client.labels_of_series(anyone, begin, end)])
        raise no_service(service, namespace, there, f" from {iso(round(begin))} to {iso(round(end))}")

    # Where the scrape's own labels took the place of the series' (federation, kube-state-metrics): exported_pod.
    infos = [one for one in found if one["__name__"] == "target_info"]
    pods = _quoted("|".join(f"{_escaped(names.start_of_pods(revision))}.+" for revision in revisions))
    places = [f"{x}pod=~{pods},{x}namespace={_quoted(namespace)}" for x in _EXPORTED]
    if infos and not any("pod" in names.vocabulary(one, names.OPENTELEMETRY) for one in infos):
        # Without a label for pods, a queue-proxy's target_info says which target is whose.
        places += _of_any("instance", infos)
    central = [one for one, labels in known if names.role_of(labels) in ("autoscaler", "activator")]
    of_revisions = f"k8s_namespace_name={_quoted(namespace)},kn_revision_name=~{_any(revisions)}"
    selectors = [
        *own,
        f"{{{_named(_METRICS_WITHOUT_SERVICE)},{of_revisions}{more}}}",
        *(f"{{{_named(_METRICS_OF_PODS)},{place}{more}}}" for place in places),
        *(f"{{{_named(_METRICS_OF_TARGETS)},{jobs}{more}}}" for jobs in _of_any("job", central)),
    ]
    interval_s = _interval_s(client, own, begin, end)
    asked: list[tuple[Query, int]] = []
    for selector in selectors:
        labels = client.labels_of_series([selector], begin, end)
        listed = [name for one in labels if (name := one.get("__name__", "")) in names.BY_SERVED]
        for coarse in (False, True):
            chosen = [name for name in listed if names.hardly_changes(names.BY_SERVED[name][0].name) == coarse]
            if not chosen:
                continue
            query = re.sub(r'__name__=~"[^"]*"', _named(sorted(chosen)), selector, count=1)
            if coarse and coarse_s and not step_s:
                query = f"last_over_time({query}[{coarse_s:g}s])"
            asked.append((Query(query, begin, end, coarse_s if coarse else step_s), len(chosen)))
    note(f"{namespace}/{service}: {', '.join(revisions)}; {sum(count for _, count in asked):,} series")
    parts = [
        one
        for ask, count in asked
        for one in client.matrix(ask.query, begin, end, step_s=ask.step_s, interval_s=interval_s, series=count)
    ]
    return assemble(
        joined(parts, once=True),  # selectors overlap, and so may parts of the window
        service=service,
        namespace=namespace,
        window_s=(begin, end),
        step_s=step_s,
        histogram_step_s=coarse_s,
        time_zone=time_zone,
        source=client.url,
        queries=[ask for ask, _ in asked],
        notes=[f"the server warned: {text}; samples may be missing" for text in client.warnings],
    )


_NONE = np.empty(0)
_EXPORTED = ("", "exported_")
_SERVICE_LABELS = (
    (names.OPENTELEMETRY, "k8s_namespace_name", "kn_service_name"),
    (names.OPENCENSUS, "namespace_name", "service_name"),
)
_METRICS_WITHOUT_SERVICE = ["kn_revision_request_active", "kn_revision_request_queued"]
_METRICS_WITH_SERVICE = {
    generation: [
        *(m.served for m in names.METRICS if m.generation == generation and m.served not in _METRICS_WITHOUT_SERVICE),
        *(["target_info"] if generation == names.OPENTELEMETRY else []),
    ]
    for generation in (names.OPENTELEMETRY, names.OPENCENSUS)
}
_METRICS_OF_PODS = [
    m.served for role in ("queue-proxy", None, "kube-state-metrics") for m in names.METRICS if m.role == role
]
_METRICS_OF_TARGETS = ["up", "process_start_time_seconds"]


def _nothing_of_knative(served: Sequence[Served]) -> RunError:
    there = sorted({one.name or "(no name)" for one in served}) or ["none at all"]
    more = f" and {len(there) - 5} more" if len(there) > 5 else ""
    return RunError(
        "the files hold no metric of Knative that names its service; export the metrics themselves, under their own "
        f"names (not expressions or recording rules): there are {printable(', '.join(there[:5]))}{more}"
    )


def _named(metrics: Iterable[str]) -> str:
    return f'__name__=~"{"|".join(dict.fromkeys(metrics))}"'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    return re.sub(r"([.+*?^$()\[\]{}|\\])", r"\\\1", text)


def _any(values: Iterable[str]) -> str:
    return _quoted("|".join(map(_escaped, values)))


def _of_any(name: str, label_sets: Sequence[Mapping[str, str]]) -> list[str]:
    """Matchers for the values that a label has in some sets: for ``exported_NAME`` where that is there."""
    found: dict[str, set[str]] = defaultdict(set)
    for labels in label_sets:
        label = next((x + name for x in reversed(_EXPORTED) if x + name in labels), None)
        if label:
            found[label].add(labels[label])
    return [f"{label}=~{_any(sorted(values))}" for label, values in found.items()]


def _interval_s(client: Client, selectors: Sequence[str], begin: float, end: float) -> float:
    """The shortest distance of samples in an hour in which there are some [s]; 5 where that cannot be told."""
    for hour in np.linspace(end, min(end, begin + 3600), 5):
        part = max(begin, hour - 3600), float(hour)
        distances = [
            float(np.median(np.diff(np.unique(one.times_s))))
            for selector in selectors
            for one in client.matrix(_gauges(selector), *part, step_s=0, interval_s=1.0)
            if len(np.unique(one.times_s)) > 2
        ]
        if distances:
            return max(LEAST_INTERVAL_S, min(distances))
    return 5.0


def _gauges(selector: str) -> str:
    """The same for pods' gauges only, of which there are few."""
    return re.sub(r'__name__=~"[^"]*"', '__name__=~".*_pods_count|.*_actual_pods|target_info"', selector, count=1)
