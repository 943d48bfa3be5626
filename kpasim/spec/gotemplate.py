"""Templates of Go's text/template, as far as ConfigMaps of Knative use them: fields in double braces.

Source:
    knative/serving@98e5ef9, pkg/apis/config/defaults.go: ``asTemplate``; Go, src/text/template.
"""

import re
from collections.abc import Collection, Mapping

from kpasim.spec.yamlfile import names_of

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD = re.compile(r"\.([A-Z][A-Za-z]*)")
_WORDS = {"true", "false", "end", "else", "break", "continue"}

_BLOCKS = {"if", "range", "with", "block", "define"}
_KNOWN = {*names_of("go-functions"), *_BLOCKS, *_WORDS, "template"}


def check(text: str, fields: Collection[str] = names_of("go-metadata")) -> str:
    """A template as it is, refused where Go would not run it on an object with those fields.

    Raises:
        ValueError: An action without an end, an empty one, a field that is not there, or an unknown function.
    """
    if "{{" in _ACTION.sub("", text):
        raise ValueError("an action is not closed with }}")
    for action in _ACTION.findall(text):
        field = _FIELD.match(action)
        if not action or (field and field[1] not in fields):
            raise ValueError(f"{{{{{action}}}}} is not a field ({', '.join(sorted(fields))})")
        if re.fullmatch(r"[a-zA-Z]+", action) and action not in _WORDS:
            raise ValueError(f"{{{{{action}}}}} is not a function")
    return text


def parse(text: str) -> None:
    """Refuse a template that Go does not parse, whatever it is going to be run on.

    Raises:
        ValueError: An action without an end, an empty one, an unknown function, or a block that is not closed.
    """
    if "{{" in _ACTION.sub("", text):
        raise ValueError("an action is not closed with }}")
    depth = 0
    for action in _ACTION.findall(text):
        if action.startswith("/*") and action.endswith("*/"):
            continue
        word = (re.match(r"[A-Za-z_]\w*", action) or [""])[0]
        depth += (word in _BLOCKS) - (word == "end")
        is_whole = not action or action == "nil" or (word == action and word in _BLOCKS)
        if is_whole or action.count('"') % 2 or action.count("`") % 2:
            raise ValueError(f"{{{{{action}}}}} is not an action")
        if depth < 0 or (word == "else" and depth == 0):
            raise ValueError(f"{{{{{action}}}}} closes no block")
        if word and word not in _KNOWN:
            raise ValueError(f"{{{{{action}}}}}: {word} is not a function")
    if depth:
        raise ValueError("a block is not closed with {{end}}")


def execute(text: str, values: Mapping[str, str]) -> str:
    """The text with fields filled in; what is no plain field is left empty."""
    return _ACTION.sub(lambda match: values.get(match[1].removeprefix("."), ""), text)
