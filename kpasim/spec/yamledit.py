"""Changing single values of a YAML text and nothing else: comments, order, quoting, blanks and line ends stay.

A value is replaced where it stands in the text. Only where the text offers no place for that (an alias, a block
scalar) is the document written anew by ruamel.yaml, which keeps comments but may move blanks. Either way the result is
read back and must hold exactly the wanted data.
"""

import re
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from kpasim.spec.base import Place
from kpasim.spec.yamlfile import bounded_yaml, dumped, parse_documents

_AFTER_KEY = re.compile(r"[ \t]*:")
_BEFORE_VALUE = re.compile(r"\s*:(?:\s+#[^\n]*)*\s*")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./+-]*")


def edited(text: str, index: int, edits: Sequence[tuple[Place, Any]]) -> str:
    """The text with values of its `index`-th document that holds anything set, or removed where the value is None."""
    for place, value in edits:
        wanted = parse_documents(text, "")[index].data
        put(wanted, place, value)
        candidate = _in_place(text, index, place, value)
        if candidate is None or parse_documents(candidate, "")[index].data != wanted:
            candidate = _anew(text, index, place, value)
        text = candidate
    return text


def put(data: Any, place: Place, value: Any) -> None:
    """Set a value in nested mappings, making those that are missing; None removes it."""
    *path, last = place
    for part in path:
        if isinstance(data, dict) and data.get(part) is None:
            if value is None:
                return
            data[part] = {}
        data = data[part]
    if value is not None:
        data[last] = value
    elif isinstance(data, dict):
        data.pop(last, None)


def scalar_text(value: Any, style: str | None) -> str:
    """A value as YAML, text in the quotes of `style` (`'`, `"` or None for none where none are needed)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style not in {"'", '"'} and _PLAIN.fullmatch(value) and _reads_as_text(value):
        return value
    writer = YAML(typ="safe", pure=True)
    writer.default_style = '"'  # type: ignore[assignment]
    return dumped(writer, value).partition("\n")[0]


def _reads_as_text(plain: str) -> bool:
    """Whether a word without quotes is text to YAML; `NULL` is no document at all, `on` a boolean."""
    documents = parse_documents(plain, "")
    return bool(documents) and isinstance(documents[0].data, str)


def _in_place(text: str, index: int, place: Place, value: Any) -> str | None:
    """The text with one value changed where it stands; None where that is not simple."""
    nodes = [node for node in bounded_yaml().compose_all(text) if not _is_null(node)]
    node: Node = nodes[index]
    parents: list[Node] = []
    for depth, part in enumerate(place):
        parents.append(node)
        if not isinstance(node, MappingNode):
            if isinstance(part, int) and not isinstance(node, ScalarNode):
                node = node.value[part]
                continue
            return None
        pair = next((pair for pair in node.value if pair[0].value == part), None)
        if pair is None:
            return text if value is None else _insert(text, node, place[depth:], value)
        key, child = pair
        if _is_null(child) and depth < len(place) - 1:
            return None if value is not None else text
        if child.start_mark.index == child.end_mark.index:
            colon = _AFTER_KEY.match(text, key.end_mark.index)
            new = scalar_text(value, None)
            return text[: colon.end()] + " " + new + text[colon.end() :] if colon and value is not None else None
        if not _BEFORE_VALUE.fullmatch(text, key.end_mark.index, child.start_mark.index):
            return None
        node = child
    if value is None:
        return _remove(text, parents[-1], place[-1])
    if not isinstance(node, ScalarNode) or node.style in {"|", ">"}:
        return None
    new = scalar_text(value, node.style)
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).endswith(":null")


def _remove(text: str, parent: Node, key: str | int) -> str | None:
    """The text without the line of a key whose value is a scalar on the same line."""
    for name, value in parent.value if isinstance(parent, MappingNode) and not parent.flow_style else ():
        if name.value == key and isinstance(value, ScalarNode) and name.start_mark.line == value.end_mark.line:
            start, end = _line_around(text, name.start_mark.index)
            return None if text[start : name.start_mark.index].strip() else text[:start] + text[end:]
    return None


def _line_around(text: str, index: int) -> tuple[int, int]:
    """Begin of the line that holds a position, and begin of the next line."""
    end = text.find("\n", index)
    return text.rfind("\n", 0, index) + 1, len(text) if end < 0 else end + 1


def _insert(text: str, parent: MappingNode, path: Place, value: Any) -> str | None:
    """The text with a further key in a mapping, written like its siblings."""
    styles = [child.style for _, child in reversed(parent.value) if isinstance(child, ScalarNode)]
    style = next((one for one in styles if one in {"'", '"'}), '"')
    if parent.flow_style:
        if len(path) > 1 or not parent.value:
            return None
        at = parent.value[-1][1].end_mark.index
        return f"{text[:at]}, {path[0]}: {scalar_text(value, style)}{text[at:]}"
    if not parent.value:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    first_key = parent.value[0][0]
    start, _ = _line_around(text, first_key.start_mark.index)
    indent = text[start : first_key.start_mark.index]
    last_key, last = parent.value[-1]
    # The first key of a mapping in a list stands behind the dash.
    column = " " * len(indent)
    lines = [f"{column}{'  ' * depth}{key}:" for depth, key in enumerate(path)]
    lines[-1] += " " + scalar_text(value, style)
    block = newline.join(lines) + newline
    if isinstance(last, ScalarNode) and last.style not in {"|", ">"} and last.end_mark.line == last_key.start_mark.line:
        _, after = _line_around(text, last_key.start_mark.index)
        lead = "" if text[:after].endswith("\n") else newline
        return text[:after] + lead + block + text[after:]
    if indent.strip():
        return None
    return text[:start] + block + text[start:]


def _anew(text: str, index: int, place: Place, value: Any) -> str:
    """The text written by ruamel.yaml with one value changed."""
    loader = bounded_yaml()
    loader.preserve_quotes = True
    documents = list(loader.load_all(text))
    put([document for document in documents if document is not None][index], place, value)
    return dumped(loader, *documents)
