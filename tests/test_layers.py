"""The arrows of the README hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutants import MUTANTS

PACKAGE = Path(__file__).parents[1] / "kpasim"

BELOW_STUDIES = {"errors", "policy", "spec", "results"}
MAY_IMPORT = {
    "errors": set(),
    "policy": set(),
    "spec": {"errors", "policy"},
    "results": {"errors"},
    "workloads": {"errors", "policy", "spec", "results", "records"},
    "engines": {*BELOW_STUDIES, "records", "workloads"},
    "records": BELOW_STUDIES,
    "studies": {*BELOW_STUDIES, "workloads", "engines", "records"},
    "report": {*BELOW_STUDIES, "studies"},
    "cluster": {*BELOW_STUDIES, "workloads", "engines", "records", "studies", "report"},
    "server": {"errors"},
    "ui": {*BELOW_STUDIES, "workloads", "engines", "records", "studies", "report"},
    "cli": {*BELOW_STUDIES, "workloads", "engines", "records", "studies", "report", "cluster", "server", "ui"},
}
"""What each layer may import, `kpasim` itself (its version) apart."""

HEAVY = ("numba", "simpy", "matplotlib", "scipy", "pyarrow", "torch", "diffusers", "kubernetes", "plotly")


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer_of(name: str) -> str | None:
    """The layer that a dotted name of ours belongs to."""
    parts = name.split(".")
    if parts[0] != "kpasim" or len(parts) < 2:
        return None
    return parts[1] if parts[1] in MAY_IMPORT else None


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_layers_below_it(layer: str):
    """Nothing reaches up: policy knows no engine, engines know no study."""
    place = PACKAGE / layer
    sources = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    for source in sources:
        used = {layer_of(name) for name in imports(source)} - {None, layer}
        assert used <= MAY_IMPORT[layer], f"{source.relative_to(PACKAGE)} imports {sorted(used - MAY_IMPORT[layer])}"


def test_the_policy_needs_nothing_but_numbers():
    """What Knative decides is written with the standard library and numpy."""
    for source in (PACKAGE / "policy").glob("*.py"):
        foreign = {name.split(".")[0] for name in imports(source)} - set(sys.stdlib_module_names) - {"numpy", "kpasim"}
        assert not foreign, f"{source.name} imports {foreign}"


def test_the_model_knows_no_executor():
    """The events of the model are plain Python over a state: neither SimPy nor numba, and no engine, is in them."""
    for source in (PACKAGE / "engines" / "model").glob("*.py"):
        used = imports(source)
        assert not {name for name in used if name.split(".")[0] in {"simpy", "numba", "llvmlite"}}, source.name
        assert not {name for name in used if name.startswith(("kpasim.engines.reference", "kpasim.engines.compiled"))}


@pytest.mark.parametrize("statement", ["import kpasim", "from kpasim.cli.main import cli; cli(['--help'])"])
def test_start_up_loads_nothing_heavy(statement: str):
    """Importing kpasim or asking for help does not wait for compilers, plots or cluster clients."""
    code = f"""
import sys
try:
    {statement}
except SystemExit:
    pass
print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_every_mutant_has_its_line():
    """The list of faults that tests must find names lines that the sources still have, each in one place or more."""
    for mutant in MUTANTS:
        text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
        assert mutant.old in text, f"{mutant.file}: {mutant.old!r} is gone: change the mutant"
        assert text.replace(mutant.old, mutant.new, 1) != text
