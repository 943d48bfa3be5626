"""Files that hold no single requests or starts: known by their content, refused with the way on."""

import re
from string import Template
from typing import Any

from kpasim.spec.yamlfile import packaged


def refusal_of_text(start: str) -> str | None:
    """Why a text of a known kind cannot be read, and what would do; ``None`` where its kind is not known."""
    known = packaged("reports.toml")["text"].items()
    return next((_in_words(refusal) for form, refusal in known if re.search(form, start)), None)


def refusal_of_json(value: Any) -> str | None:
    """The same for the first object of a JSON file."""
    if not isinstance(value, dict):
        return None
    items = value.get("items")
    first = items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else value
    if "Event" in {value.get("kind"), first.get("kind")} or value.get("kind") == "EventList":
        return _in_words("holds events of Kubernetes ($pods has the moments of the starts)")
    keys = {*value, *(f"{key}.{name}" for key, part in value.items() if isinstance(part, dict) for name in part)}
    known = packaged("reports.toml")["json"].items()
    return next((_in_words(refusal) for names, refusal in known if keys.issuperset(names.split())), None)


def _in_words(refusal: str) -> str:
    return Template(refusal).substitute(packaged("reports.toml")["words"])
