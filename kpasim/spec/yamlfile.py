"""Reading YAML with the line of every value, and refusing what is not a small, plain document.

YAML is composed into nodes by ruamel.yaml and built into plain dicts, lists and scalars here, so that duplicate keys,
cycles, unknown tags and unreadable numbers are all reported together, each with its line.
"""

import io
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import YAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kpasim.errors import ExperimentError, Problem
from kpasim.spec.base import Place, dotted, mapping_of, problem_at

MAX_BYTES = 4_000_000
"""Larger files are refused: a specification has a few kilobytes; a trace belongs into a CSV file of its own."""

# Besides its own errors ruamel lets some of Python's through, for broken directives, escapes and tags.
_NOT_YAML = (
    YAMLError, YAMLStreamError, ValueError, LookupError, AttributeError, TypeError, AssertionError, OverflowError,
)  # fmt: skip
_MAX_VALUES = 50_000
_MAX_DEPTH = 100
_STANDARD = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Attributes:
        path: File it came from, as the user wrote it.
        text: The whole file, line ends untouched.
        data: Plain dicts, lists, strings, numbers, booleans and None.
        lines: Line of every value, counted from 1.
        node: What ruamel composed, with the position of every scalar in `text`.
    """

    path: str
    text: str
    data: Any
    lines: dict[Place, int] = field(default_factory=dict)
    node: Node | None = None

    def error(self, place: Place, message: str) -> ExperimentError:
        """What is wrong at a place of the document, with its line."""
        return ExperimentError(self.path, [problem_at(place, message, self.lines)])

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: all but the nodes, which are many and needed only while reading."""
        return {**self.__dict__, "node": None}


class _TooDeep(Exception):  # noqa: N818
    """Values nested deeper than ``_MAX_DEPTH``; its argument is the line."""


class _BoundedComposer(Composer):
    """Composes at most ``_MAX_VALUES`` nodes, nested at most ``_MAX_DEPTH`` deep.

    An anchor may be defined again, as YAML 1.2 allows; an alias refers to the last definition before it.
    """

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False
        self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node."""
        self._nodes += 1
        if self._nodes > _MAX_VALUES:
            mark = self.parser.peek_event().start_mark
            raise ComposerError(problem=f"it holds more than {_MAX_VALUES:,} values", problem_mark=mark)
        if self.depth >= _MAX_DEPTH:
            raise _TooDeep(self.parser.peek_event().start_mark.line + 1)
        return super().compose_node(parent, index)


def bounded_yaml() -> YAML:
    """A round-trip YAML reader for files of unknown origin."""
    reader = YAML(typ="rt", pure=True)
    reader.Composer = _BoundedComposer
    return reader


def dumped(writer: YAML, *documents: Any) -> str:
    """The text that a writer makes of documents; no line of it is folded."""
    writer.width = 2**31
    out = io.StringIO()
    writer.dump_all(documents, out)
    return out.getvalue()


def packaged_text(name: str) -> str:
    """The text of a file of kpasim/data."""
    return resources.files("kpasim").joinpath("data", name).read_text(encoding="utf-8")


@cache
def packaged(name: str) -> Any:
    """What a YAML or TOML file of kpasim/data holds; do not change it."""
    text = packaged_text(name)
    return tomllib.loads(text) if name.endswith(".toml") else YAML(typ="safe").load(text)


@cache
def names_of(kind: str) -> tuple[str, ...]:
    """Names that another project gives, in the order of kpasim/data/names.toml."""
    return tuple(packaged("names.toml")[kind].split())


def read_text(path: str | Path) -> str:
    """The text of a file, or of standard input for `-`; line ends and a byte order mark stay as they are.

    Raises:
        ExperimentError: Missing, a folder, not readable, too large, or not UTF-8 text.
    """
    try:
        if str(path) == "-":
            raw = _begin_of(sys.stdin.buffer)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ExperimentError.of(path, "no such file") from None
    except IsADirectoryError:
        raise ExperimentError.of(path, "is a folder (name a YAML file in it)") from None
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
        raise ExperimentError.of(path, f"cannot be read ({reason})") from None
    if len(raw) > MAX_BYTES:
        raise ExperimentError.of(path, f"is larger than {MAX_BYTES // 1_000_000} MB (a specification has a few kB)")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ExperimentError.of(path, "is not UTF-8 text", raw[: err.start].count(b"\n") + 1) from None
    if "\0" in text:
        line = text.partition("\0")[0].count("\n") + 1
        raise ExperimentError.of(path, "is a binary file (a YAML file is text)", line)
    return text


@lru_cache(maxsize=1)
def _begin_of(stream: BinaryIO) -> bytes:
    """What a stream holds, kept: a file is looked at to see what it is, and read again, and a stream can only once."""
    return stream.read(MAX_BYTES + 1)


def parse_documents(text: str, path: str | Path) -> list[Document]:
    """All documents of a YAML text that hold anything.

    Raises:
        ExperimentError: Not YAML; duplicate keys, cycles, unknown tags, keys that are not text.
    """
    try:
        return _documents(_composed(text), text, path)
    except _TooDeep as err:
        raise ExperimentError.of(path, "is nested too deeply", err.args[0]) from None
    except RecursionError:
        raise ExperimentError.of(path, "is nested too deeply") from None
    except _NOT_YAML as err:
        mark = getattr(err, "problem_mark", None) or getattr(err, "context_mark", None)
        reason = getattr(err, "problem", None) or str(err).partition("\n")[0] or type(err).__name__
        line = mark.line + 1 if mark else None
        if unrendered := template(text, line):
            raise ExperimentError(path, [unrendered]) from None
        raise ExperimentError.of(path, f"is not YAML ({' '.join(str(reason).split())})", line) from None


@lru_cache(maxsize=4)
def _composed(text: str) -> list[Node]:
    """The nodes of a text, kept: a file is looked at to see what it is, and read again, after others that it names."""
    return list(bounded_yaml().compose_all(text))


def _documents(nodes: Sequence[Node], text: str, path: str | Path) -> list[Document]:
    documents = []
    builder = _Builder()
    for node in nodes:
        builder.lines = {}
        data = builder.build(node, ())
        if data is not None:
            documents.append(Document(str(path), text, data, builder.lines, node))
    if builder.problems:
        unrendered = template(text, builder.problems[0].line)
        raise ExperimentError(path, [unrendered] if unrendered else builder.problems)
    return documents


_HELM = re.compile(r"\{\{-?\s*[^}\n]*\}\}")
_OTHER_TEMPLATES = {
    "{%": (re.compile(r"\{%.*%\}"), "as Jinja or Ansible do"),
    "${": (re.compile(r"\$\{\w+[^}\n]*\}"), "envsubst < FILE | kpasim check -"),
}


def template(text: str, line: int | None) -> Problem | None:
    """What to say of a template: Helm's wherever its first action is, others in the line that fails."""
    if found := _HELM.search(text):
        place = text[: found.start()].count("\n") + 1
        return Problem("", "is a template, with {{: render it first (helm template CHART | kpasim check -)", place)
    failing = text.splitlines()[line - 1 : line] if line else []
    for mark, (pattern, way) in _OTHER_TEMPLATES.items():
        if any(pattern.search(one) for one in failing):
            return Problem("", f"is a template, with {mark}: render it first ({way})", line)
    return None


def read_documents(path: str | Path) -> list[Document]:
    """All documents of a YAML file that hold anything.

    Raises:
        ExperimentError: As `read_text` and `parse_documents`.
    """
    return parse_documents(read_text(path), path)


def read_mapping(path: str | Path, *, kind: str) -> Document:
    """The one mapping that a YAML file holds; `kind` says in messages what it should have been.

    Raises:
        ExperimentError: As `read_documents`; empty, several documents, or not a mapping.
    """
    return only_mapping(read_documents(path), path, kind=kind)


def only_mapping(documents: list[Document], path: str | Path, *, kind: str) -> Document:
    """The one mapping among the documents of a file.

    Raises:
        ExperimentError: None, several, or not a mapping.
    """
    if not documents:
        raise ExperimentError.of(path, f"is empty ({kind} is a mapping of keys)", 1)
    if len(documents) > 1:
        of_kubernetes = any({"apiVersion", "kind"} <= mapping_of(one.data).keys() for one in documents)
        hint = f"; make one of a Service: kpasim manifest import {path} --out FILE" if of_kubernetes else ""
        raise documents[1].error((), f"holds several YAML documents ({kind} is one{hint})")
    document = documents[0]
    if not isinstance(document.data, dict):
        what = "a list" if isinstance(document.data, list) else "one value"
        raise document.error((), f"holds {what} ({kind} is a mapping of keys)")
    return document


def node_at(node: Node | None, place: Place) -> Node | None:
    """The composed node at a place, or None where there is none."""
    for part in place:
        if isinstance(node, MappingNode):
            node = next((child for key, child in node.value if key.value == part), None)
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return None
    return node


_BOOLEANS = re.compile(r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")


def is_text(value: object, node: Node | None) -> bool:
    """Whether Kubernetes takes a value as text: to it, which reads YAML 1.1, a bare `on` or `no` is a boolean."""
    bare = isinstance(node, ScalarNode) and not node.style
    return isinstance(value, str) and not (bare and _BOOLEANS.fullmatch(value))


class _Builder:
    """Makes plain values of composed nodes and remembers where they stood."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []
        self._open: list[int] = []
        self._count = 0

    def _wrong(self, place: Place, message: str, node: Node) -> None:
        self.problems.append(Problem(dotted(place), message, node.start_mark.line + 1))

    def build(self, node: Node, place: Place) -> Any:
        """The plain value of a node; what is wrong goes to `problems`."""
        self._count += 1
        if self._count > _MAX_VALUES:
            if self._count == _MAX_VALUES + 1:
                self._wrong(
                    place, f"holds more than {_MAX_VALUES:,} values (are anchors repeated inside anchors?)", node
                )
            return None
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node, place)
        if id(node) in self._open:
            self._wrong(place, "refers to itself (an anchor must not hold its own alias)", node)
            return None
        if len(self._open) >= _MAX_DEPTH:
            # Reached by aliases alone: a chain of anchors is flat as text and deep as a value.
            raise _TooDeep(node.start_mark.line + 1)
        self._open.append(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return self._mapping(node, place)
        finally:
            self._open.pop()

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag).endswith(":merge"):
                for source in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                    values = self.build(source, place)
                    if isinstance(values, dict):
                        merged = {**values, **merged}
                    else:
                        self._wrong(place, "<< must name a mapping", key_node)
                continue
            if not isinstance(key_node, ScalarNode):
                self._wrong(place, "a key must be text", key_node)
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                self._wrong(
                    (*place, key), f"is given twice (first in line {self.lines[(*place, key)]}; keep one)", key_node
                )
                continue
            self.lines[(*place, key)] = line
            result[key] = self.build(value_node, (*place, key))
        return {**merged, **result} if merged else result

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        # For a round trip ruamel.yaml marks where the lines of a folded text end.
        text = str(node.value).replace("\a", "") if node.style == ">" else str(node.value)
        tag = str(node.tag).removeprefix(_STANDARD)
        try:
            return _plain(tag, text)
        except KeyError:
            self._wrong(place, f"the tag {node.tag} means nothing here (write plain text or numbers)", node)
        except ValueError:
            self._wrong(place, f"{text[:40]!r} is not a number that can be read", node)
        return None


def _plain(tag: str, text: str) -> Any:
    """Value of a scalar.

    Raises:
        KeyError: The tag is not one of YAML's own for text, numbers, booleans and null.
        ValueError: The text is no such number.
    """
    if tag in {"str", "timestamp", "!"}:
        return text
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in {"true", "yes", "on", "y"}
    digits = text.replace("_", "")
    if tag == "int":
        return int(digits, 0) if digits.lstrip("+-")[:2].lower() in {"0x", "0o", "0b"} else int(digits)
    if tag == "float":
        word = digits.lower().lstrip("+-")
        if word in {".inf", ".nan"}:
            return float(digits.lower().replace(".", ""))
        return float(digits)
    raise KeyError(tag)
