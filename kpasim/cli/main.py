"""The command `kpasim`: finds a command's module when it is asked for, so that start-up stays fast."""

import atexit
import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from kpasim import __version__
from kpasim.errors import KpasimError, printable

COMMANDS = {
    "run": "Simulate one experiment.",
    "init": "Write a first experiment from five questions.",
    "ui": "Move a setting in your browser and see pods, latency and cost.",
    "check": "Find errors and surprising settings in a manifest or an experiment.",
    "sweep": "Simulate a grid or a design over settings.",
    "tune": "Find the cheapest settings that meet your SLOs.",
    "versus": "Compare autoscalers on the same load.",
    "calibrate": "Fit a model to measured files, with intervals.",
    "compare": "Compare a prediction with a measured run.",
    "backtest": "Predict what Prometheus recorded, then other settings.",
    "validate": "Deploy, predict, load, record, compare, clean up.",
    "observe": "Read what Prometheus recorded of a Knative service.",
    "load": "Send the experiment's requests to a URL.",
    "manifest": "Import, export and compare Service manifests.",
    "cluster": "Find and remove objects that an interrupted run left in a cluster.",
    "serve": "Serve txt2img with diffusers.",
    "report": "Write one HTML page about a run, a sweep or a backtest.",
    "explain": "Print meaning, type and default of a key.",
    "models": "List service times of models on GPUs.",
    "prices": "List prices of GPU instances.",
    "schema": "Print the JSON schema of kpasim's files.",
    "warmup": "Compile the fast engine now.",
}
"""Every command and what it does, in the order of `kpasim --help`."""


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
ALLOCATIONS = 250_000
"""Objects more than before at which Python looks for garbage: imports make many, and leave none."""
IMPORTED_S = 0.05
"""How long an interrupt that comes inside an import waits before it tries again [s]."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command runs, and shows a KpasimError as a message."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `-#NAME`, a Service of standard input, for a file and not for options."""
        # `kpasim.spec.objects` reads this name; importing it here would slow the start.
        return super().parse_args(ctx, [f"<stdin>{arg[1:]}" if arg.startswith("-#") else arg for arg in args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called ``cmd_name``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kpasim.cli.{cmd_name}").command
        # Every module calls its command `command`; people know it by the module's name.
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest a command where the name is unknown."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as err:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{err.message} Did you mean '{near[0]}'?", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that a user can fix becomes a message and exit status 1."""
        try:
            return super().invoke(ctx)
        except KpasimError as err:
            raise Refused(str(err), err.status) from err


class Refused(click.ClickException):
    """One line for each problem, on stderr."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the problems."""
        for line in self.message.splitlines():
            click.echo(f"Error: {printable(line)}", err=True)


def show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print versions and end."""
    if not value or ctx.resilient_parsing:
        return
    from kpasim.results.provenance import KNATIVE_COMMIT, PACKAGES, version_of

    click.echo(f"kpasim {__version__}")
    click.echo(f"policy of knative/serving@{KNATIVE_COMMIT[:7]}; engines: compiled (numba), reference (SimPy)")
    for package in PACKAGES:
        click.echo(f"{package} {version_of(package) or 'missing'}")
    click.echo(f"Python {sys.version.split()[0]}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTry: kpasim run experiments/hey50x5.yaml",
)
@click.option(
    "--version",
    is_flag=True,
    callback=show_version,
    expose_value=False,
    is_eager=True,
    help="Show versions and exit.",
)
def cli() -> None:
    """Simulate Knative's Pod Autoscaler for GPU inference services."""


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # to find any, all installed packages are looked into
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # all memory goes with the process, so Python need not look for garbage at its end
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # The shell can close a stream (`>&-`); Python then has none at all, and whatever uses it would fail.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets background jobs ignore it
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGALRM, _interrupt)
    try:
        status = cli.main(prog_name="kpasim", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; what is left to print interests nobody.
        _leave("", 1)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG}:
            raise
        _leave(f"Error: the output cannot be written: {error.strerror}", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise what Ctrl-C raises, after an import where it finds one: inside, Python loses some interrupts."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, IMPORTED_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _leave(message: str, status: int) -> NoReturn:
    """End at once; what could not be printed is not tried again."""
    if message:
        with contextlib.suppress(OSError):
            click.echo(message, err=True)
    with contextlib.suppress(OSError):
        # Python flushes stdout once more at its end, and would complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


if __name__ == "__main__":
    main()
