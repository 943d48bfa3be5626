"""What manifests hold that must not reach run folders, reports and logs."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

HIDDEN = "(hidden)"
_VALUES_BY_NAME = {"env", "httpHeaders", "headers"}
"""Lists of ``{name, value}``, or mappings from name to value, whose values are nobody's business."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation with the whole manifest as text, its environment included."""
_URL_USER = re.compile(r"(?<=://)[^/@\s]+@")
_NAMED = re.compile(
    r"(?i)((?:api[-_]?key|access[-_]?key|token|passw(?:or)?d|secret|credential|authorization)[\w-]*\s*[=:]\s*)"
    r"((?:bearer\s+|basic\s+)?[^\s&\"',;]+)"
)
_NAME = re.compile(r"(?i)(api[-_]?key|access[-_]?key|token|passw(or)?d|secret|credential|authorization)[\w-]*$")


def without_secrets(value: Any) -> Any:
    """A copy of a manifest, or of any tree that holds one, without values that may be secret.

    Values of environment variables and of headers, users and passwords in URLs, and what follows the name of a token,
    password, secret or key in a text (``--hf-token=...``) become `HIDDEN`; so does the argument after ``--hf-token``.
    """
    if isinstance(value, Mapping):
        return {
            key: _hidden_values(item) if key in _VALUES_BY_NAME else _of_key(key, item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = [without_secrets(item) for item in value]
        for place, (item, after) in enumerate(pairwise(tuple(items)), 1):
            if isinstance(item, str) and isinstance(after, str) and item.startswith("-") and _NAME.search(item):
                items[place] = HIDDEN
        return items
    if isinstance(value, str):
        return _NAMED.sub(rf"\g<1>{HIDDEN}", _URL_USER.sub(f"{HIDDEN}@", value))
    return value


def _of_key(key: Any, item: Any) -> Any:
    return HIDDEN if key == _LAST_APPLIED else without_secrets(item)


def _hidden_values(items: Any) -> Any:
    if isinstance(items, Mapping):
        return dict.fromkeys(items, HIDDEN)
    if not isinstance(items, list | tuple):
        return without_secrets(items)
    return [
        {key: HIDDEN if key == "value" else without_secrets(part) for key, part in item.items()}
        if isinstance(item, Mapping)
        else HIDDEN
        for item in items
    ]
