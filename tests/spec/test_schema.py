"""JSON schemas say what the readers accept, and explain every key."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kpasim.cli.schema import command
from kpasim.spec.schema import FILES, schema
from kpasim.spec.yamlfile import read_mapping
from tests.spec.files import EXPERIMENT, MODEL

REPOSITORY = Path(__file__).parents[2]
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def faults(data: Any, form: dict[str, Any], whole: dict[str, Any], place: str = "$") -> Iterator[str]:
    """What the schema finds wrong with the data; knows the words that kpasim's schemas use, and no others."""
    known = {
        "$ref", "$defs", "$schema", "title", "description", "default", "examples", "discriminator", "type",
        "properties", "additionalProperties", "required", "items", "anyOf", "oneOf", "enum", "const", "pattern",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "minItems", "maxItems",
        "minProperties",
    }  # fmt: skip
    assert set(form) <= known, set(form) - known
    if "$ref" in form:
        yield from faults(data, whole["$defs"][form["$ref"].removeprefix("#/$defs/")], whole, place)
    for word in ("anyOf", "oneOf"):
        if word in form and not any(not list(faults(data, one, whole, place)) for one in form[word]):
            yield f"{place}: none of {word}"
    if "type" in form:
        wanted = [form["type"]] if isinstance(form["type"], str) else form["type"]
        right = any(isinstance(data, TYPES[one]) and (one == "boolean" or not isinstance(data, bool)) for one in wanted)
        if not right:
            yield f"{place}: not {wanted}"
            return
    if "enum" in form and data not in form["enum"]:
        yield f"{place}: not in {form['enum']}"
    if "const" in form and data != form["const"]:
        yield f"{place}: not {form['const']}"
    if "pattern" in form and isinstance(data, str) and not re.search(form["pattern"], data):
        yield f"{place}: does not match"
    if isinstance(data, int | float) and not isinstance(data, bool):
        if data < form.get("minimum", data) or data > form.get("maximum", data):
            yield f"{place}: out of range"
        if "exclusiveMinimum" in form and data <= form["exclusiveMinimum"]:
            yield f"{place}: out of range"
    if isinstance(data, dict) and "properties" in form:
        missing = set(form.get("required", ())) - set(data)
        unknown = set(data) - set(form["properties"]) if form.get("additionalProperties") is False else set()
        yield from (f"{place}: {key} is missing" for key in missing)
        yield from (f"{place}: {key} is unknown" for key in unknown)
        for key in set(data) & set(form["properties"]):
            yield from faults(data[key], form["properties"][key], whole, f"{place}.{key}")
    elif isinstance(data, dict):
        yield from (f"{place}: {key} is missing" for key in set(form.get("required", ())) - set(data))
        if isinstance(form.get("additionalProperties"), dict):
            for key, value in data.items():
                yield from faults(value, form["additionalProperties"], whole, f"{place}.{key}")
    if isinstance(data, list) and "items" in form:
        for index, one in enumerate(data):
            yield from faults(one, form["items"], whole, f"{place}[{index}]")


def faults_of(path: Path, kind: str) -> list[str]:
    """What the schema finds wrong with a file."""
    form = schema(kind)
    return list(faults(read_mapping(path, kind=kind).data, form, form))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_fits_the_schema(path: Path) -> None:
    """Editors find nothing wrong with what kpasim runs; a file that names an experiment is a sweep."""
    kind = "sweep" if "axes" in read_mapping(path, kind="an experiment").data else "experiment"
    assert faults_of(path, kind) == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "models").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_fits_the_schema(path: Path) -> None:
    """The same for models."""
    assert faults_of(path, "model") == []


@pytest.mark.parametrize(
    ("kind", "text", "old", "new"),
    [
        ("experiment", EXPERIMENT, "rate: 0.5", "rate: -1"),
        ("experiment", EXPERIMENT, "rate: 0.5", "rte: 0.5"),
        ("experiment", EXPERIMENT, "duration: 10m", "duration: 10 minutes"),
        ("experiment", EXPERIMENT, "kind: poisson", "kind: poison"),
        ("experiment", EXPERIMENT, "stable-window", "stable-windw"),
        ("experiment", EXPERIMENT, "start: warm", "start: worm"),
        ("experiment", EXPERIMENT, "replications: 20", "replications: 2.5"),
        ("experiment", EXPERIMENT, "service: painter.yaml\n", ""),
        ("model", MODEL, "lognormal", "lognorm"),
        ("model", MODEL, "median", "medium"),
        ("model", MODEL, "kind: pull", "kind: poll"),
        ("model", MODEL, "time: 30s", "time: long"),
    ],
)
def test_the_schema_finds_what_the_reader_refuses(kind: str, text: str, old: str, new: str, tmp_path: Path) -> None:
    """Misspelt keys, wrong words and numbers out of range are seen in the editor already."""
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert faults_of(path, kind) == []
    path.write_text(text.replace(old, new))
    assert faults_of(path, kind) != []


@pytest.mark.parametrize("kind", FILES)
def test_every_key_is_explained(kind: str) -> None:
    """Each key of each mapping has a description, and each reference leads somewhere."""

    def look(form: Any) -> None:
        if isinstance(form, dict):
            for key, one in form.get("properties", {}).items() if isinstance(form.get("properties"), dict) else ():
                assert one.get("description") or "$ref" in one, key
            if isinstance(form.get("$ref"), str):
                assert form["$ref"].removeprefix("#/$defs/") in whole["$defs"]
            for one in form.values():
                look(one)
        elif isinstance(form, list):
            for one in form:
                look(one)

    whole = schema(kind)
    look(whole)


@pytest.mark.parametrize("kind", FILES)
def test_the_command_prints_it(kind: str) -> None:
    """As JSON on stdout."""
    done = CliRunner().invoke(command, [kind])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == schema(kind)
