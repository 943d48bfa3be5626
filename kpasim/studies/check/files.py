"""Which files of a folder are worth a check."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kpasim.errors import FileError
from kpasim.spec.objects import is_service, objects_in, split_name
from kpasim.spec.yamlfile import read_documents

_ENDINGS = {".yaml", ".yml"}


@dataclass(frozen=True)
class Found:
    """Files to check.

    Attributes:
        files: Those that were named, and of folders those that hold a Service or an experiment.
        left_out: Other YAML files: Deployments, models, values, templates.
    """

    files: tuple[str, ...]
    left_out: tuple[str, ...]


def files_in(paths: Iterable[str], *, skip_others: bool = False) -> Found:
    """The files to check among files and folders; folders are searched as deep as they go.

    With ``skip_others`` a file that was named is left out where it holds neither a Service nor an experiment.
    """
    files: list[str] = []
    left_out: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            keep = not skip_others or path == "-" or _is_ours(Path(split_name(path)[0]))
            (files if keep else left_out).append(path)
            continue
        for file in sorted(Path(path).rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.suffix in _ENDINGS and file.is_file() and not hidden:
                (files if _is_ours(file) else left_out).append(str(file))
    return Found(tuple(dict.fromkeys(files)), tuple(left_out))


def _is_ours(path: Path) -> bool:
    """Whether a file holds a Service or an experiment; one that cannot be read and names a Service does."""
    try:
        documents = read_documents(path)
    except FileError as error:
        is_template = "template" in error.problems[0].message
        return not is_template and _names_a_service(path)
    if any(is_service(one.data) for one in objects_in(documents)):
        return True
    return any(isinstance(one.data, dict) and {"service", "workload"} <= one.data.keys() for one in documents)


def _names_a_service(path: Path) -> bool:
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return b"serving.knative.dev/" in text or b"serving.kserve.io/" in text
