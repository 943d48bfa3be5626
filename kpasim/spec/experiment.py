"""One experiment: a Service manifest, the cluster's settings, a workload, a fitted model, and how often to play it.

experiment = load("experiments/hey50x5.yaml")
calmer = experiment.with_setting("service.annotations.target-utilization-percentage", 70)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from kpasim.errors import ExperimentError, FileError, Problem, printable
from kpasim.spec.autoscaler import CONFIG_KEYS, AutoscalerConfig, RevisionSettings
from kpasim.spec.base import (
    Count,
    Lines,
    ManyFilesError,
    NamedOr,
    Place,
    Spec,
    key_of,
    line_of,
    not_right,
    problem_at,
    problems_of,
    replaced,
    suggestion,
    validate,
    value_at,
    wrong,
)
from kpasim.spec.cluster import Cluster, InstanceType
from kpasim.spec.configmaps import (
    CLUSTER_MAPS,
    ClusterConfig,
    ClusterFiles,
    ConfigMap,
    Defaults,
    read_cluster_config,
    read_config_map,
    taken,
)
from kpasim.spec.cost import Cost
from kpasim.spec.manifest import (
    ECI_SPECS,
    MOST_ECI_SPECS,
    TEMPLATE_ANNOTATIONS,
    ServiceManifest,
    read_service,
    service_of,
    setting_place,
    setting_value,
)
from kpasim.spec.model import ServiceModel
from kpasim.spec.objects import refuse_other_kinds, split_name
from kpasim.spec.operator import activators_in
from kpasim.spec.places import expanded, place_of, without_draws
from kpasim.spec.quantities import PositiveSeconds, Seconds, duration_text, seconds, share
from kpasim.spec.scalerobjects import is_scaler_file, scaler_of_file
from kpasim.spec.scaling import AnyScaling, Scaling, Schedule
from kpasim.spec.workload import FILE_KINDS, FOLDER_KINDS, Workload
from kpasim.spec.yamlfile import Document, only_mapping, parse_documents, read_mapping

_SHORTENED = frozenset({"start", "model", "autoscaler"})
"""Sections that have short forms, see `expanded`."""


def _words(kinds: tuple[Any, ...]) -> set[str]:
    return {word for kind in kinds for word in kind.model_fields["kind"].annotation.__args__}


_FOLDERS = _words(FOLDER_KINDS)
_FILE_KINDS = _words(FILE_KINDS) | _FOLDERS
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Start(Spec):
    """State of the revision when the load begins."""

    state: Literal["warm", "idled", "zero"] = "warm"
    """`warm`: its first pods have just become ready; `idled`: it has scaled to zero by itself; `zero`: it never had a
    pod."""
    for_s: Seconds = 5.0
    """Time in that state."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping | Start) else {"state": data}


class Tolerance(NamedTuple):
    """How far a prediction may be off: a share of the measured value, or an amount in its own unit."""

    amount: float
    relative: bool

    def allows(self, predicted: float, measured: float) -> bool:
        """Whether the prediction is near enough to the measured value."""
        return abs(predicted - measured) <= self.amount * (abs(measured) if self.relative else 1.0)

    def text(self) -> str:
        """As a file may write it: ``15%`` or ``2``."""
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


METRICS = (
    "mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s", "total_s", "max_pods", "first_scale_out_s", "pod_seconds",
    "desired_zero_after_last_s", "replicas_zero_after_last_s",
)  # fmt: skip
"""What predictions are compared by, and tolerances are about."""


def metric_named(name: str) -> str:
    """The metric that a tolerance is about: ``p50`` is ``p50_s``, ``max-pods`` is ``max_pods``.

    Raises:
        KeyError: There is none of that name.
    """
    plain = name.replace("-", "_")
    for metric in (plain, f"{plain}_s"):
        if metric in METRICS:
            return metric
    raise KeyError(name)


def _metric(name: str) -> str:
    """A name that there is a metric of, as the file writes it."""
    try:
        metric_named(name)
    except KeyError:
        known = ", ".join(one.removesuffix("_s").replace("_", "-") for one in METRICS)
        raise wrong(f"is no metric (one of {known})") from None
    return name


def _tolerance(value: Any) -> Tolerance:
    """A tolerance as files write it: `15%`, `2s` or a number."""
    if isinstance(value, Tolerance):
        return value
    try:
        if isinstance(value, str) and value.strip().endswith("%"):
            found = Tolerance(share(value), relative=True)
        else:
            found = Tolerance(seconds(value), relative=False)
    except ValueError:
        raise wrong("is not a tolerance (write 15%, 2s or a number)") from None
    if not 0 <= found.amount < math.inf:
        raise wrong("is not a tolerance (must be at least 0)")
    return found


class Experiment(Spec):
    """An experiment file. Paths in it are relative to it."""

    service: Annotated[InstanceOf[ServiceManifest], NamedOr()]
    """Knative Service, or KServe's InferenceService: a YAML file (FILE#NAME where it holds several), or the manifest
    itself."""
    config_autoscaler: Annotated[InstanceOf[AutoscalerConfig], NamedOr(AutoscalerConfig)] = AutoscalerConfig()
    """The cluster's `config-autoscaler`: a ConfigMap file, or its data; missing keys have Knative's default."""
    config_defaults: Annotated[dict[str, Any], NamedOr()] = Field(default_factory=dict)
    """The cluster's `config-defaults`: a ConfigMap file, or its data."""
    config_deployment: Annotated[dict[str, Any], NamedOr()] = Field(default_factory=dict)
    """The cluster's `config-deployment`: a ConfigMap file, or its data."""
    config_features: Annotated[dict[str, Any], NamedOr()] = Field(default_factory=dict)
    """The cluster's `config-features`: a ConfigMap file, or its data. Where it is not given, `check` warns of fields
    that need a key of it (such as `nodeSelector`), and nothing refuses them."""
    inferenceservice_config: Annotated[dict[str, Any], NamedOr()] = Field(default_factory=dict)
    """KServe's `inferenceservice-config`, for an InferenceService: a ConfigMap file, or its data."""
    cluster_config: tuple[str, ...] = ()
    """Files with any of these ConfigMaps instead: ConfigMaps, Lists of them, a KnativeServing of Knative's operator."""
    workload: Workload
    """The load of the clients."""
    model: Annotated[InstanceOf[ServiceModel], NamedOr(ServiceModel)]
    """The fitted model of the service: a bare name, looked up beside this file, in `models/` beside or above it and
    among those that come with kpasim; a path; or the model itself."""
    cluster: Cluster = Cluster()
    """Where pods run and how requests reach them."""
    autoscaler: AnyScaling | None = None
    """What decides on the number of pods, and who holds requests meanwhile: a kind, a mapping with a kind and its
    settings, or a file with the objects of an HPA, of KEDA or of its HTTP add-on. Not given: the autoscaler of the
    manifest."""
    start: Start = Start()
    """State of the revision when the load begins: `warm`, `idled`, `zero`, or a mapping."""
    horizon_s: PositiveSeconds | None = None
    """End of the run, from the start of the load. Not given: when all requests have ended, replicas are back at their
    idle level and added nodes are released; where pods stay, not before stable window, grace period and 30 s after
    the last response."""
    repeat_s: PositiveSeconds | None = None
    """Time from one start of the load to the next, such as `24h`: the run lasts until then, and the cost per month is
    that of all repetitions in a month. For loads that end by themselves; instead of `horizon`. The run then begins
    with `start: idled` where `start` is not given."""
    replications: Count = 200
    """Number of runs, each with other random numbers."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 1
    """Seed of the random numbers; two settings compared under one seed meet the same requests."""
    tolerances: dict[
        Annotated[str, AfterValidator(_metric)],
        Annotated[Tolerance, BeforeValidator(_tolerance), WithJsonSchema({"type": ["string", "number"]})],
    ] = Field(default_factory=dict)
    """Maximum errors of predictions, by metric: `15%` of the measured value, or an amount."""
    cost: Cost | None = None
    """Billing of a run; by default each pod is billed by the second."""

    @model_validator(mode="before")
    @classmethod
    def _recurs(cls, data: Any) -> Any:
        """A load that recurs meets the service as the last one left it, where nothing else is said."""
        recurs = isinstance(data, Mapping) and data.get("repeat") is not None and data.get("start") is None
        return {**data, "start": "idled"} if recurs else data

    _path: Path | None = PrivateAttr(default=None)
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _defaults: Defaults = PrivateAttr(default_factory=Defaults)
    _lines: dict[Place, int] = PrivateAttr(default_factory=dict)
    _config_maps: tuple[ConfigMap, ...] = PrivateAttr(default=())

    @property
    def path(self) -> Path | None:
        """File it came from, None for one made of a mapping."""
        return self._path

    @property
    def name(self) -> str:
        """Name of the file without its ending, or of the service where there is no file."""
        return printable(self._path.stem) if self._path else self.service.name

    @property
    def scaling(self) -> Scaling:
        """The autoscaler: as the file says, else as the manifest does."""
        return self.autoscaler or self.service.scaling

    @property
    def revision(self) -> RevisionSettings:
        """The autoscaler's settings of the revision."""
        return self.service.revision

    @property
    def gpus_per_pod(self) -> int:
        """GPUs a pod holds: what the cluster block says, else the manifest's limit, else the most an instance has.

        On nodes it is 1 where neither the cluster block nor the manifest says it.
        """
        if self.cluster.gpus_per_pod is not None:
            return self.cluster.gpus_per_pod
        if self.cluster.nodes is not None:
            return self.service.gpus or 1
        return self.service.gpus or max((one.gpus for one in self.instance_types), default=0)

    @property
    def instance_types(self) -> tuple[InstanceType, ...]:
        """Machines a pod may get, in the order they are tried.

        The manifest's `eci-use-specs` gives the order, and its first five are tried; of these only the ones the cluster
        block lists are to be had, unless it lists none. Without the annotation the order is the cluster block's, or the
        types of the nodes that the manifest selects where there is none.
        """
        listed = {one.name: one for one in self.cluster.instance_types}
        asked = self.service.eci_specs[:MOST_ECI_SPECS]
        if not asked:
            selected = () if self.cluster.nodes else self.service.node_types
            return self.cluster.instance_types or tuple(InstanceType(name=name) for name in selected)
        if not listed:
            return tuple(InstanceType(name=name) for name in asked)
        return tuple(listed[name] for name in asked if name in listed)

    @property
    def defaults(self) -> Defaults:
        """The cluster's `config-defaults`, `config-deployment` and `config-features`."""
        return self._defaults

    @property
    def config_maps(self) -> tuple[ConfigMap, ...]:
        """ConfigMaps that were read from files."""
        return self._config_maps

    @property
    def raw(self) -> Mapping[str, Any]:
        """The file's own mapping with the files it names read into it and short forms written out; do not change it."""
        return {**self._raw, "service": self.service.written}

    def line(self, path: str) -> int | None:
        """Line of a key in the experiment's file, or of what is nearest around it; None where there is no file."""
        return line_of(tuple(path.split(".")), self._lines)

    def setting(self, path: str) -> Any:
        """The value a setting has in the files, by its path; None where they leave it to its default.

        Raises:
            ExperimentError: No such setting.
        """
        head, _, rest = path.partition(".")
        try:
            place = ("service", *setting_place(self.service, rest)) if head == "service" else self._place(path)
        except ValueError as err:
            raise self._refused(path, str(err)) from None
        return value_at(self.raw, place)

    def with_setting(self, path: str, value: Any) -> Experiment:
        """The experiment with one setting changed; see `with_settings`."""
        return self.with_settings({path: value})

    def with_settings(self, settings: Mapping[str, Any]) -> Experiment:
        """The experiment with settings changed, checked again as a whole; None takes a setting out of the file.

        Paths are `service.annotations.max-scale` (any spelling, or a full key), `service.containerConcurrency` and the
        other fields of the manifest; `config-autoscaler.stable-window`; and what else the file holds: `workload.rate`,
        `model.service-time.time.median`, `cluster.instance-types`, `start`. Members of lists are addressed by their
        position or, where they have one, their name (`model.cold-start.stages.pull.time`). A number of the model that
        is given here is no longer drawn from its `posterior`. For `cluster.instance-types` names out of the present
        list will do, which are then also written to the manifest's `eci-use-specs` where it has one.

        Raises:
            ExperimentError: No such setting, or a value that is refused.
        """
        edits: list[tuple[Place, Any]] = []
        raw = self._raw
        touched: set[str] = set()
        for path, given in settings.items():
            head, _, rest = path.partition(".")
            try:
                if head == "service":
                    place = setting_place(self.service, rest)
                    edits.append((place, setting_value(place, given)))
                    continue
                value = scaler_of_file(given) if path == "autoscaler" and is_scaler_file(given) else given
                if path == "cluster.instance-types":
                    value, names = self._chosen_types(given)
                    if names and ECI_SPECS in self.service.annotations:
                        edits.append(((*TEMPLATE_ANNOTATIONS, ECI_SPECS), ",".join(names)))
                if head in touched & _SHORTENED:
                    raw = expanded(raw)  # so that a path leads into what an earlier setting wrote as a bare word
                place = self._place(path, raw)
                raw = replaced(without_draws(raw, place), place, value)
                if path in {"start", "autoscaler"}:
                    raw = expanded(raw)  # a later setting may be of what the word stands for
            except ValueError as err:
                raise self._refused(path, str(err)) from None
            touched.add(head)
        return self._rebuilt(expanded(raw) if touched & _SHORTENED else raw, touched, edits)

    def _place(self, path: str, raw: Mapping[str, Any] | None = None) -> Place:
        """Where in the raw mapping a path leads that is not one of the manifest.

        Raises:
            ValueError: Nowhere.
        """
        head = path.partition(".")[0]
        if head == "cluster-config":
            raise ValueError("names files and is no setting (set config-autoscaler.stable-window and the like)")
        if head not in _KEYS:
            whole = self._whole(path)
            raise ValueError(f"unknown setting ({f'did you mean {whole}?' if whole else suggestion(head, _KEYS)})")
        return place_of(self._raw if raw is None else raw, path)

    def _whole(self, path: str) -> str | None:
        """The path of a setting that is named without its beginning: `max-scale`, or `rate`; None where it is none."""
        for beginning in ("", "annotations."):
            with contextlib.suppress(ValueError):
                setting_place(self.service, f"{beginning}{path}")
                return f"service.{beginning}{path}"
        for key, known in (("config-autoscaler", CONFIG_KEYS), ("workload", self._raw["workload"])):
            if path in known:
                return f"{key}.{path}"
        return None

    def _chosen_types(self, value: Any) -> tuple[Any, list[str]]:
        """Instance types as a file has them, and their names, for a value that may be names alone.

        Raises:
            ValueError: A name that is not listed.
        """
        given = [value] if isinstance(value, str | Mapping) else value
        if not isinstance(given, list | tuple):
            return value, []
        known: dict[str, Any] = {name: {"name": name} for name in self.service.eci_specs}
        known |= {one["name"]: one for one in (self._raw.get("cluster") or {}).get("instance-types") or ()}
        for name in given:
            if isinstance(name, str) and name not in known:
                raise ValueError(f"{name!r} is not listed ({suggestion(name, known) or 'list it with its price'})")
        chosen = [known[one] if isinstance(one, str) else one for one in given]
        return chosen, [str(one["name"]) for one in chosen if isinstance(one, Mapping) and "name" in one]

    def _rebuilt(self, raw: dict[str, Any], touched: set[str], edits: list[tuple[Place, Any]]) -> Experiment:
        """The experiment of a changed raw mapping; only the sections that were touched are made anew."""
        where = self._path or "experiment"
        updates: dict[str, Any] = {}
        cluster = ClusterConfig(self.config_autoscaler, self._defaults)
        if touched & set(CLUSTER_MAPS):
            cluster, files = ClusterConfig(), _Files(Document(str(where), "", {}), Path(where).parent)
            for name in CLUSTER_MAPS:
                one = files.config_map(raw.get(name), name)
                if name in raw:
                    cluster = taken(cluster, one, strict=name in touched)
                    raw = {**raw, name: one.data}
                updates[_ATTRIBUTES[name]] = cluster.autoscaler if name == "config-autoscaler" else one.data
        if edits or touched & set(CLUSTER_MAPS):
            updates["service"] = self.service.with_edits(edits, cluster.autoscaler, cluster.defaults)
        for key in touched - set(CLUSTER_MAPS):
            updates[_ATTRIBUTES[key]] = self._section(key, raw, where)
        copy = self.model_copy(update=updates)
        copy._raw = raw
        copy._defaults = cluster.defaults
        problems = _contradictions(copy, {})
        if problems:
            raise ExperimentError(where, problems)
        return copy

    def with_service(self, service: ServiceManifest) -> Experiment:
        """The experiment with another manifest of the same service."""
        return self.model_copy(update={"service": service})

    def _section(self, key: str, raw: dict[str, Any], where: str | Path) -> Any:
        """One section of the file, made anew of its raw form."""
        if raw.get(key) is None:
            field = Experiment.model_fields[_ATTRIBUTES[key]]
            if field.is_required():
                raise self._refused(key, "is missing")
            return field.get_default(call_default_factory=True)
        try:
            return _adapter(_ATTRIBUTES[key]).validate_python(raw[key])
        except ValidationError as error:
            raise ExperimentError(where, problems_of(error, Experiment, raw, {}, within=(key,))) from None

    def _refused(self, path: str, message: str) -> ExperimentError:
        return ExperimentError.of(self._path or "experiment", message, place=path)


_ATTRIBUTES = {key_of(name): name for name in Experiment.model_fields}
_KEYS = tuple(_ATTRIBUTES)


@cache
def _adapter(attribute: str) -> TypeAdapter[Any]:
    """What validates one attribute of an experiment by itself."""
    if attribute == "model":
        return TypeAdapter(ServiceModel)
    field = Experiment.model_fields[attribute]
    annotation: Any = field.annotation
    for extra in field.metadata:
        annotation = Annotated[annotation, extra]
    if field.discriminator:
        annotation = Annotated[annotation, Field(discriminator=field.discriminator)]
    return TypeAdapter(annotation)


# --- reading ----------------------------------------------------------------------------------------------------------


def load(path: str | Path, *, cluster_config: Sequence[str | Path] = ()) -> Experiment:
    """Read an experiment file and all files it names; `-` reads standard input.

    ``cluster_config`` are files with ConfigMaps of the cluster, which replace those of the experiment.

    Raises:
        ExperimentError: Everything that is wrong with the files, one problem for each key.
    """
    document = read_mapping(path, kind="an experiment")
    refuse_other_kinds(document, path, kind="an experiment")
    experiment = _assembled(document, Path(path).parent, cluster_config)
    experiment._path = None if str(path) == "-" else Path(path)
    return experiment


def loads(
    text: str, *, path: str = "experiment", base: str | Path = ".", cluster_config: Sequence[str | Path] = ()
) -> Experiment:
    """Read an experiment from YAML, which messages call ``path``; paths in it are relative to the folder ``base``.

    Raises:
        ExperimentError: As `load`.
    """
    document = only_mapping(parse_documents(text, path), path, kind="an experiment")
    return _assembled(document, Path(base), cluster_config)


def from_mapping(data: Mapping[str, Any], *, base: str | Path = ".", path: str = "experiment") -> Experiment:
    """As `loads`, of a mapping with the keys of an experiment file.

    Raises:
        ExperimentError: As `load`.
    """
    return _assembled(Document(path, "", dict(data)), Path(base))


class _Files:
    """Reads the files that an experiment names, and keeps what is wrong with it and with them."""

    def __init__(self, document: Document, base: Path) -> None:
        self._document = document
        self._base = base
        self.own: list[Problem] = []
        self.others: list[FileError] = []

    def attempt(self, make: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """The result, or None and a finding."""
        try:
            return make(*args, **kwargs)
        except FileError as error:
            if error.path == self._document.path:
                self.own.extend(error.problems)
            else:
                self.others.append(error)
        return None

    def raise_if_any(self) -> None:
        own = sorted(self.own, key=lambda one: one.line or 0)
        errors = [*([ExperimentError(self._document.path, own)] if own else []), *self.others]
        if errors:
            raise errors[0] if len(errors) == 1 else ManyFilesError(errors)

    def cluster_config(self, data: Mapping[str, Any]) -> ClusterFiles:
        """What the files say that the experiment names for its cluster."""
        key = "cluster-config"
        value = data.get(key)
        named = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(named, list | tuple) or not all(isinstance(one, str) for one in named):
            raise self._document.error((key,), not_right(value, "a file, or a list of files"))
        found = read_cluster_config([self._existing(self._base / one, key) for one in named])
        for name, one in found.maps.items():
            if name in data:
                where = one.document.path
                message = f"stands in {where}, too, which cluster-config names (write it once)"
                raise self._document.error((name,), message)
        return found

    def scaler(self, value: str) -> dict[str, Any]:
        """The autoscaler of the objects that a file holds."""
        self._existing(split_name(self._base / value)[0], "autoscaler")
        return scaler_of_file(str(self._base / value))

    def config_map(self, value: Any, name: str) -> ConfigMap:
        """The ConfigMap that a key names or holds."""
        if isinstance(value, str):
            return read_config_map(self._existing(self._base / value, name), name)
        if not isinstance(value, Mapping | None):
            raise self._document.error((name,), not_right(value, "a ConfigMap file, or its data as a mapping"))
        return ConfigMap(name, dict(value or {}), {}, self._document, (name,))

    def service(self, value: Any, cluster: ClusterConfig) -> ServiceManifest:
        if isinstance(value, Mapping):
            source = self._document
            return service_of(value, cluster.autoscaler, cluster.defaults, source=source, prefix=("service",))
        if not isinstance(value, str):
            raise self._document.error(("service",), not_right(value, "a manifest file, or the manifest itself"))
        self._existing(split_name(self._base / value)[0], "service")
        return read_service(self._base / value, cluster.autoscaler, cluster.defaults)

    def model(self, value: Any) -> tuple[ServiceModel, Mapping[str, Any]]:
        if isinstance(value, Mapping):
            return validate(ServiceModel, value, self._document.path, self._document.lines, ("model",)), value
        if not isinstance(value, str):
            raise self._document.error(("model",), not_right(value, "a name, a file, or the model itself"))
        path = find_model(value, self._base)
        if path is None:
            known = sorted({one.stem for folder in _model_folders(self._base) for one in folder.glob("*.yaml")})
            hint = "paths are relative to this file" if "/" in value else suggestion(value, known)
            message = f"{value!r} is not a model that can be found ({hint or 'name a YAML file'})"
            raise self._document.error(("model",), message)
        return read_model(path)

    def _existing(self, path: str | Path, key: str) -> str | Path:
        """The path, or which key named a file that is not there, not only which file."""
        if not Path(path).is_file():
            what = "is a folder" if Path(path).is_dir() else "does not exist"
            raise self._document.error((key,), f"{str(path)!r} {what} (name a file relative to this one)")
        return path


def _assembled(document: Document, base: Path, cluster_config: Sequence[str | Path] = ()) -> Experiment:
    """The experiment of a document and of the files it names; what is wrong in several files is said together."""
    data: dict[str, Any] = document.data
    parts, raw = dict(data), dict(data)
    files = _Files(document, base)
    config = ClusterConfig()
    given = files.attempt(read_cluster_config, cluster_config) or ClusterFiles({}, [])
    own = files.attempt(files.cluster_config, data) or ClusterFiles({}, [])
    from_files = {**own.maps, **given.maps}
    activators = files.attempt(activators_in, (*own.objects, *given.objects))
    cluster = data.get("cluster") or {}
    for mapping in (parts, raw):
        mapping.pop("cluster-config", None)
        if activators and isinstance(cluster, Mapping) and "activators" not in cluster:
            mapping["cluster"] = {**cluster, "activators": activators}
    config_maps = []
    for name in CLUSTER_MAPS:
        if name not in data and name not in from_files:
            continue
        parts.pop(name, None)
        raw[name] = {}
        found = from_files.get(name) or files.attempt(files.config_map, data[name], name)
        if found is None:
            continue
        if found.document is not document:
            config_maps.append(found)
        config = files.attempt(taken, config, found, strict=found.document is document) or config
        parts[name] = raw[name] = found.data
        if name == "config-autoscaler":
            parts[name] = config.autoscaler
            # A ConfigMap out of a cluster may hold keys that Knative ignores; a changed one is held to the known keys.
            raw[name] = {key: value for key, value in found.data.items() if key in CONFIG_KEYS}
    if "service" in data:
        parts["service"] = files.attempt(files.service, data["service"], config)
    if "model" in data:
        parts["model"], raw["model"] = files.attempt(files.model, data["model"]) or (None, None)
    failed = {key for key in ("service", "model") if key in data and parts[key] is None}
    if is_scaler_file(data.get("autoscaler")):
        parts["autoscaler"] = raw["autoscaler"] = files.attempt(files.scaler, str(data["autoscaler"]))
    files.own += _resolve_file(parts, raw, base, document.lines)
    experiment = None
    try:
        experiment = Experiment.model_validate(parts)
    except ValidationError as error:
        files.own += [one for one in problems_of(error, Experiment, parts, document.lines) if one.place not in failed]
    files.raise_if_any()
    assert experiment is not None
    experiment._raw = expanded(raw)
    experiment._defaults = config.defaults
    experiment._config_maps = tuple(config_maps)
    experiment._lines = document.lines
    files.own += _contradictions(experiment, document.lines)
    files.raise_if_any()
    return experiment


def read_model(path: str | Path) -> tuple[ServiceModel, Mapping[str, Any]]:
    """The model of a file, and the mapping that the file holds.

    Raises:
        ExperimentError: Everything that is wrong with it.
    """
    found = read_mapping(path, kind="a model")
    model = validate(ServiceModel, found.data, path, found.lines)
    return (model if model.name else model.model_copy(update={"name": Path(path).stem})), found.data


def _shipped(folder: str) -> Path:
    """A folder that comes with kpasim: in the installed package, or in a checkout of its repository."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data" / folder
    return installed if installed.is_dir() else package.parent / folder


def shipped_models() -> Path:
    """Folder of the models that come with kpasim."""
    return _shipped("models")


def shipped_experiments() -> Path:
    """Folder of the experiments that come with kpasim."""
    return _shipped("experiments")


def _model_folders(base: Path) -> list[Path]:
    return [base, base / ".." / "models", base / "models", shipped_models()]


def find_model(name: str, base: str | Path = ".") -> Path | None:
    """The file of a model: a path relative to `base`, or a bare name looked up in the usual folders; else None."""
    base = Path(base)
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = base / name
        return path if path.exists() else None
    files = (folder / f"{name}{ending}" for folder in _model_folders(base) for ending in (".yaml", ".yml"))
    return next(filter(Path.is_file, files), None)


def _resolve_file(parts: dict[str, Any], raw: dict[str, Any], base: Path, lines: Lines) -> list[Problem]:
    """Make the file of a trace relative to the working folder, and say so when it is not there."""
    workload = parts.get("workload")
    kind, file = (workload.get("kind"), workload.get("file")) if isinstance(workload, Mapping) else (None, None)
    if not isinstance(kind, str) or kind not in _FILE_KINDS or not isinstance(file, str):
        return []
    path = base / file
    parts["workload"] = raw["workload"] = {**parts["workload"], "file": str(path)}
    folder = kind in _FOLDERS
    if path.is_dir() if folder else path.is_file():
        return []
    what = "is not a folder of kpasim observe" if folder else "is not a file"
    return [problem_at(("workload", "file"), f"{str(path)!r} {what} (paths are relative to this file)", lines)]


def _contradictions(experiment: Experiment, lines: Lines) -> list[Problem]:
    """What is right by itself but cannot be run together."""
    problems: list[Problem] = []

    def wrong(place: Place, message: str) -> None:
        problems.append(problem_at(place, message, lines))

    revision = experiment.service.revision
    if experiment.autoscaler is None:
        try:
            _ = experiment.service.scaling
        except ValueError as error:
            wrong(("service",), str(error))
    windows = experiment.autoscaler.windows if isinstance(experiment.autoscaler, Schedule) else ()
    for number, window in enumerate(windows):
        if 0 < revision.max_scale < window.replicas:
            message = f"{window.replicas} is more than max-scale, {revision.max_scale}: Knative refuses such a minimum"
            wrong(("autoscaler", "windows", number, "replicas"), message)
    for name in ("target_value", "total_value", "target_burst_capacity", "panic_threshold", "panic_window_s"):
        value = getattr(revision, name)
        if not math.isfinite(value):
            what = name.replace("_", "-").removesuffix("-s")
            wrong(("service",), f"makes {what} {value}, which Knative accepts and no run can follow (write a number)")
            break
    listed = experiment.cluster.instance_types
    if experiment.service.eci_specs and listed and not experiment.instance_types:
        has, wanted = ", ".join(one.name for one in listed), ", ".join(experiment.service.eci_specs)
        wrong(("cluster", "instance-types"), f"lists {has}, and none of the manifest's eci-use-specs ({wanted})")
    elsewhere = experiment.cost.prices if experiment.cost else {}
    currencies = {one.currency for one in listed if one.price_per_hour is not None and one.name not in elsewhere}
    if experiment.cost and experiment.cost.currency:
        currencies.add(experiment.cost.currency)
    if experiment.repeat_s is not None:
        if experiment.start.state == "warm":
            wrong(("repeat",), "stands beside start: warm, a pod that nobody pays for (write start: idled)")
        if experiment.horizon_s is not None:
            wrong(("repeat",), "stands beside horizon, which ends the run (write one of them)")
        duration_s = getattr(experiment.workload, "duration_s", None) or 0.0
        if duration_s > experiment.repeat_s:
            wrong(("repeat",), f"is shorter than the load, which lasts {duration_text(duration_s)} (write more)")
    if len(currencies) > 1:
        wrong(("cluster", "instance-types"), f"has prices in {' and '.join(sorted(currencies))} (use one currency)")
    return problems
