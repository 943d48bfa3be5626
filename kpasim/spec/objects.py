"""Kubernetes objects of a YAML file: documents, the items of Lists, and one of them by name (``FILE#NAME``)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kpasim.errors import ExperimentError
from kpasim.spec.base import Place, line_of, mapping_of, show
from kpasim.spec.yamlfile import Document, read_documents

STANDARD_INPUT = "<stdin>"
"""What the command line makes of `-` in `-#NAME`, which would look like options."""
SERVING = "serving.knative.dev/"
KSERVE = "serving.kserve.io/"


class Object(NamedTuple):
    """A Kubernetes object, and where it stands.

    Attributes:
        prefix: Where in the document it stands: empty, or an item of a List.
    """

    data: dict[str, Any]
    document: Document
    prefix: Place

    @property
    def kind(self) -> str:
        """Its kind, empty where it has none."""
        return _word(self.data.get("kind", ""))

    @property
    def version(self) -> str:
        """Its apiVersion, empty where it has none."""
        return _word(self.data.get("apiVersion", ""))

    @property
    def name(self) -> str:
        """Its name, empty where it has none."""
        return str(mapping_of(self.data.get("metadata")).get("name") or "")

    @property
    def namespace(self) -> str:
        """Its namespace, empty where it has none."""
        return str(mapping_of(self.data.get("metadata")).get("namespace") or "")

    @property
    def line(self) -> int | None:
        """Line where it begins."""
        return line_of(self.prefix, self.document.lines)

    def error(self, place: Place, message: str) -> ExperimentError:
        """What is wrong at a place of the object, with its line."""
        return self.document.error((*self.prefix, *place), message)


def is_service(data: Any) -> bool:
    """Whether a Knative Service follows from an object: it is one of any version, or one that KServe makes one of."""
    if not isinstance(data, Mapping):
        return False
    kind, version = str(data.get("kind", "")), str(data.get("apiVersion", ""))
    if kind == "Service":
        return version.startswith(SERVING)
    return kind in {"InferenceService", "LLMInferenceService"} and version.startswith(KSERVE)


def is_list(data: Any) -> bool:
    """Whether an object is a List of others, such as ``kubectl get -o yaml`` prints; it may be empty."""
    given = mapping_of(data)
    return str(given.get("kind", "")).endswith("List") and isinstance(given.get("items"), list)


def split_name(path: str | Path) -> tuple[str, str]:
    """The file and the name of ``FILE#NAME``; the name is empty where there is none."""
    file, mark, name = str(path).rpartition("#")
    if file == STANDARD_INPUT:
        return "-", name
    return (file, name) if mark and file and name and not Path(path).exists() else (str(path), "")


def objects_in(documents: list[Document]) -> list[Object]:
    """The objects of a file in its order; the items of a List instead of the List."""
    return [found for document in documents for found in _objects(document.data, document, ())]


def _objects(data: Any, document: Document, prefix: Place) -> Iterator[Object]:
    if not isinstance(data, dict):
        return
    if is_list(data):
        for index, item in enumerate(data["items"]):
            yield from _objects(item, document, (*prefix, "items", index))
    elif "kind" in data or "apiVersion" in data:
        yield Object(data, document, prefix)


def services_of(path: str | Path) -> list[Object]:
    """The Services of a file, or the one that ``FILE#NAME`` names.

    Raises:
        ExperimentError: Not YAML, none in it, or none of that name.
    """
    file, name = split_name(path)
    return services_in(read_documents(file), file, name)


def services_in(documents: list[Document], file: str, name: str = "") -> list[Object]:
    """The Services among the documents of a file, or the one called ``name``.

    Raises:
        ExperimentError: None in it, or none of that name.
    """
    found = objects_in(documents)
    services = [one for one in found if is_service(one.data)]
    if not services:
        raise ExperimentError.of(file, _none(found, documents), 1)
    if not name:
        return services
    chosen = [one for one in services if name in {one.name, f"{one.namespace or 'default'}/{one.name}"}]
    if not chosen:
        raise ExperimentError.of(file, f"holds no Service {name} (it holds {_names(services)})", 1)
    return chosen


def refuse_other_kinds(document: Document, path: str | Path, *, kind: str) -> None:
    """Say what a file is where it plainly is another kind of file than ``an experiment`` or ``a sweep``.

    Raises:
        ExperimentError: It is another Kubernetes object, a manifest, a model, or one for the other.
    """
    keys = document.data.keys()
    if {"apiVersion", "kind"} <= keys:
        services_in([document], str(path))  # what holds none cannot be made an experiment of
        what = f"is a Kubernetes {document.data['kind']}, not {kind}"
        way = f"make an experiment of a Service: kpasim manifest import {path} --out FILE"
        raise document.error(("kind",), f"{what} ({way})")
    if "service-time" in keys and not keys & {"service", "workload", "experiment", "axes"}:
        message = f"belongs to a model, not to {kind} (an experiment names it: model: {path})"
        raise document.error(("service-time",), message)
    if kind == "an experiment" and {"experiment", "axes"} <= keys:
        raise document.error(("axes",), f"belong to a sweep, not to an experiment (kpasim sweep {path})")
    if kind == "a sweep" and {"service", "workload", "model"} <= keys and "axes" not in keys:
        message = "belongs to an experiment; a sweep names one (experiment: FILE) and what to vary (axes: ...)"
        raise document.error(("service",), message)


def one_service(path: str | Path) -> Object:
    """The only Service of a file, or the one that ``FILE#NAME`` names.

    Raises:
        ExperimentError: As `services_of`; several.
    """
    services = services_of(path)
    if len(services) > 1:
        file, _ = split_name(path)
        same = len({reference(one) for one in services}) == 1
        way = "remove all but one" if same else f"name one: {file}#{reference(services[0])}"
        message = f"holds {len(services)} Services: {_names(services)} ({way})"
        raise ExperimentError.of(file, message, services[1].line)
    return services[0]


def reference(one: Object) -> str:
    """What names an object in its file behind the `#`."""
    return f"{one.namespace}/{one.name}" if one.namespace not in {"", "default"} else one.name


def _names(services: list[Object]) -> str:
    return ", ".join(reference(one) or "one without a name" for one in services)


def _none(found: list[Object], documents: list[Document]) -> str:
    """What to say of a file without a Service."""
    kinds = sorted({f"{one.version or 'no version'} {one.kind or 'no kind'}" for one in found})
    if "Kustomization" in {one.kind for one in found}:
        return "is a kustomization: render it first (kubectl kustomize FOLDER | kpasim check -)"
    if {"HorizontalPodAutoscaler", "ScaledObject", "HTTPScaledObject"} & {one.kind for one in found}:
        return "holds an autoscaler, and no Service to simulate (kpasim versus EXPERIMENT --with FILE takes it)"
    if any(one.version.startswith("serving.kubeflow.org/") for one in found):
        return "holds an object of KServe's former name (write apiVersion: serving.kserve.io/v1beta1)"
    experiment = any(isinstance(one.data, dict) and {"service", "workload"} <= one.data.keys() for one in documents)
    other = "it is an experiment" if experiment else "it is no manifest"
    empty = "it is empty"
    if any(is_list(one.data) for one in documents):
        other = "it is an empty List, as kubectl get prints where it finds nothing: try -A"
    has = f"it holds {', '.join(kinds)}" if kinds else empty if not documents else other
    wanted = "apiVersion serving.knative.dev/v1, kind Service; or KServe's InferenceService"
    return f"holds no Knative Service ({has}; wanted: {wanted})"


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else show(value)
