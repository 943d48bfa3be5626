"""Tasks for developers and for CI: `nox -l` lists them, `nox --no-venv -s lint` runs one in the environment at hand."""

import re
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "docs", "tests-3.11"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def install(session: nox.Session, *packages: str) -> None:
    """Install packages, unless the session runs in the environment at hand (`nox --no-venv`), which has them."""
    if session.virtualenv.is_sandboxed:
        session.install(*packages)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install(session, "ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "-e", ".[dev]")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link is an error."""
    install(session, "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "-q", "-d", session.create_tmp() + "/site")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests (arguments after -- go to pytest)."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "pytest", "-q", "-n", "2", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests of spec, policy, engines and results with the lowest versions that pyproject.toml allows."""
    required = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    lowest = [re.sub(r">=([^,]+)(,.*)?", r"==\1", one) for one in required]
    tools = ("pytest>=8", "hypothesis>=6.120", "pytest-xdist>=3.6", "pytest-rerunfailures>=15", "psutil>=6")
    install(session, "-e", ".", *lowest, *tools)
    session.run("python", "-m", "pytest", "-q", "tests/spec", "tests/policy", "tests/engines", "tests/results")


@nox.session
def statistical(session: nox.Session) -> None:
    """Run the slow checks in full (an hour and more)."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "pytest", "-q", "-m", "statistical", *session.posargs, env={"OMP_NUM_THREADS": "1"})
