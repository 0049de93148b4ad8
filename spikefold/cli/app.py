"""The group of verbs, and what becomes of errors: one line on stderr and status 2, never a traceback for what a user can cause."""

import errno
from typing import Any, NoReturn

import click

import spikefold
from spikefold.cli import chip, demo, model
from spikefold.data.errors import SpikefoldError

__all__ = ["main"]

BAD_INPUT = 2
EXTRAS = {"torch": "train", "numba": "sim", "amaranth": "hw", "cocotb": "hw", "cocotb_tools": "hw"}
"""The pip extra that brings each optional module."""


class Failure(click.ClickException):
    """Bad input: a line on stderr, status 2."""

    exit_code = BAD_INPUT

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"spikefold: {self.format_message()}", file=file, err=file is None)


def fail(message: str, cause: BaseException) -> NoReturn:
    """End with ``message`` on one line."""
    raise Failure(" ".join(message.split()) or type(cause).__name__) from cause


class Verbs(click.Group):
    """A group whose verbs end in one line when something outside the program is wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except SpikefoldError as error:
            fail(str(error), error)
        except KeyboardInterrupt as error:
            fail("interrupted", error)
        except MemoryError as error:
            fail("out of memory; take fewer --samples or --trace-samples", error)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                raise
            fail(f"{missing} is not installed; pip install 'spikefold[{EXTRAS[missing]}]'", error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}", error)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(spikefold.__version__, prog_name="spikefold")
def main() -> None:
    """Take a spiking network trained in PyTorch to Verilog without one bit changing.

    Status 0: all is well. 1: a difference was found. 2: bad input; one line says what and where.
    """


for verb in (model.train, model.quantize, chip.simulate, chip.generate, chip.verify, model.info, demo.demo):
    main.add_command(verb)
