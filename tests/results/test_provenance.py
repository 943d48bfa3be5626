"""Where a result says it comes from."""

import json
import os
import platform

import numpy as np

import kpasim
from kpasim.results import provenance as made
from kpasim.results.provenance import fingerprint, provenance


def test_a_result_names_what_made_it():
    """Version, engine, seed, Knative's commit, packages and platform are there and can be written as JSON."""
    found = provenance(engine="compiled", seed=7, experiment={"b": 1, "a": [2.5]})
    assert found["kpasim"] == kpasim.__version__
    assert (found["engine"], found["seed"]) == ("compiled", 7)
    assert found["knative_commit"] == "98e5ef90aa7033797aa0a61ef97f3ff7e49a3944"
    assert found["packages"]["numpy"] == np.__version__
    assert json.loads(json.dumps(found)) == found


def test_a_result_tells_nothing_about_its_user(monkeypatch):
    """Neither environment variables nor the machine's name nor its folders stand in it."""
    monkeypatch.setenv("MY_SECRET", "hunter2-hunter2")
    text = json.dumps(provenance(engine="compiled", seed=7, experiment="x"))
    for secret in ("hunter2", platform.node(), os.getcwd(), os.path.expanduser("~")):
        assert len(secret) < 3 or secret not in text


def test_the_fingerprint_follows_the_content():
    """Equal content gives equal fingerprints, whatever the order of keys; other content another one."""
    assert fingerprint({"a": 1, "b": 2.0}) == fingerprint({"b": 2.0, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint("x") == fingerprint(b"x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_a_package_that_is_not_there_has_no_version(monkeypatch):
    """A missing package is null, not an error."""
    monkeypatch.setattr(made, "PACKAGES", ("numpy", "no-such-package-here"))
    assert provenance(engine="x", seed=1, experiment="")["packages"]["no-such-package-here"] is None
