"""The group of verbs, and what becomes of errors: one line on stderr and status 2, never a traceback for what a user can cause."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click

import spikefold
from spikefold.cli.compare import compare
from spikefold.cli.count import count
from spikefold.cli.demo import demo
from spikefold.cli.drift import drift
from spikefold.cli.evaluate import evaluate
from spikefold.cli.export import export
from spikefold.cli.generate import generate
from spikefold.cli.import_ import import_
from spikefold.cli.info import info
from spikefold.cli.quantize import quantize
from spikefold.cli.reproduce import reproduce
from spikefold.cli.search import search
from spikefold.cli.simulate import simulate
from spikefold.cli.train import train
from spikefold.cli.verify import verify
from spikefold.data.errors import SpikefoldError

__all__ = ["main"]

BAD_INPUT = 2
BUG = 3
EXTRAS = {
    "torch": "train",
    "numba": "sim",
    "amaranth": "hw",
    "cocotb": "hw",
    "cocotb_tools": "hw",
    "tensorboard": "tensorboard",
    "PIL": "train",
    "matplotlib": "train",
    "tomli_w": "train",
    "h5py": "nir",
    "nir": "nir",
    "optuna": "search",
}
"""The pip extra that brings each optional module."""


class Verbs(click.Group):
    """A group whose verbs end in one line when something outside the program is wrong."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a verb and end the process with its status; without ``standalone_mode``, as click has it."""
        if not options.get("standalone_mode", True):
            return super().main(*arguments, **options)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal that lacks a letter of some name gets its number.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            if sys.stdout is None:
                report("the standard output is closed")
                sys.exit(BAD_INPUT)
            sys.exit(ended(lambda: super(Verbs, self).main(*arguments, **{**options, "standalone_mode": False})))
        finally:
            for stream in (sys.stdout, sys.stderr):
                discard_unwritable(stream)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the arguments; --help and --version print here."""
        with output_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        with output_errors():
            return super().invoke(ctx)


class ClosedOutputError(Exception):
    """Nobody reads the output any more. No OSError, which click would end with status 1."""


@contextmanager
def output_errors() -> Iterator[None]:
    """Keep a closed pipe and an interrupt from click, which has a status 1 and more than one line for them."""
    try:
        yield
    except BrokenPipeError as error:
        raise ClosedOutputError from error
    except KeyboardInterrupt as error:
        raise click.ClickException("interrupted") from error


def ended(run: Callable[[], Any]) -> int:
    """Return the exit status of ``run``, and say on stderr what was wrong."""
    try:
        status = run()
        sys.stdout.flush()
    except ClosedOutputError:
        return BAD_INPUT
    except click.UsageError as error:
        path = "spikefold" if error.ctx is None else error.ctx.command_path
        report(f"{error.format_message().rstrip('.')}; see {path} --help")
    except click.ClickException as error:
        report(error.format_message())
    except click.Abort:
        report("interrupted")
    except SpikefoldError as error:
        report(str(error) or type(error).__name__)
    except MemoryError:
        report("out of memory; take fewer --samples or --trace-samples")
    except BrokenPipeError:
        return BAD_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        report(f"{where}{error.strerror or error}")
    except Exception as error:
        missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if missing not in EXTRAS:
            with suppress(OSError):
                traceback.print_exc()
            return BUG
        extra = EXTRAS[missing]
        report(f"{missing} is not installed; the extra {extra!r} brings it: in a clone, pip install -c constraints.txt -e '.[{extra}]'")
    else:
        # What click's own --help and --version return is their status; a verb returns nothing.
        return status if isinstance(status, int) else 0
    return BAD_INPUT


def report(message: str) -> None:
    """Print ``message`` on one line on stderr, where there is one."""
    with suppress(OSError):
        click.echo(f"spikefold: {' '.join(message.split())}", err=True)


def discard_unwritable(stream: TextIO | None) -> None:
    """Send what a full or closed ``stream`` still holds to nowhere, since Python would fail on it when it ends."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        if stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@click.group(cls=Verbs, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(spikefold.__version__, prog_name="spikefold")
def main() -> None:
    """Take a spiking network trained in PyTorch to Verilog without one bit changing.

    Status 0: all is well. 1: a difference was found. 2: bad input; one line says what and where.
    3: a bug in Spikefold; please report the traceback.
    """


for verb in (
    train, evaluate, reproduce, compare, import_, export, quantize, search, drift, count, simulate, generate, verify, info, demo,
):  # fmt: skip
    main.add_command(verb)
