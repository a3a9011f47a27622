"""The command line: a folder of verbs, one file each, and the composition root: only here may hwsim import qmodels, reports.

A verb's file defines a function of its name (its docstring is the help text) and EXAMPLE; on the command line its name
has dashes. Exit codes: 0 done, 1 a check failed, 2 bad input or an interrupt (one line `error: ...` on stderr; a traceback
only with --debug). Heavy imports stand inside the verbs, so that `hwsim --help` loads neither torch, numba nor matplotlib.
"""

import importlib
import os
import sys

import typer

from hwsim import __version__, catalog, console
from hwsim.errors import HwsimError

VERBS = "hwsim.cli"
OPTIONAL = ("torch", "timm", "torchvision", "sklearn", "joblib", "matplotlib", "jinja2")
"""Packages of extras, which not every installation has."""


def main() -> None:
    """Run the command line and exit."""
    # On a busy machine OpenMP's spinning barriers cost a time slice each, and torch becomes tens of times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console.watch_interrupts()
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if arguments == ["--version"]:
        print(f"hwsim {__version__}")
        sys.exit(0)
    sys.exit(run(arguments or ["--help"], debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command; the exit code. With `debug`, errors keep their traceback."""
    try:
        command = typer.main.get_command(application())
        code = int(command.main(arguments, prog_name="hwsim", standalone_mode=False) or 0)
    except HwsimError as error:
        if debug:
            raise
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if debug or (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        return _fail(
            f"{error.name}: must be installed for this, got no such package; pip install 'hwsim[all]' "
            "(to price or run a graph file, none is needed)"
        )
    except (KeyboardInterrupt, typer.Abort):
        code = 130  # as Typer itself answers it
    except typer.Exit as stop:
        code = int(stop.exit_code)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # a wrong option or argument
        if debug or usage is None:
            raise
        verb = [argument for argument in arguments[:1] if argument.replace("-", "_") in catalog.names(VERBS)]
        return _fail(f"{usage()} (see {' '.join(['hwsim', *verb, '--help'])})")
    return _fail("interrupted; nothing was left half written") if code == 130 else code


def application() -> typer.Typer:
    """All verbs of this folder as one Typer application."""
    app = typer.Typer(
        help="Hardware simulator and cost model for quantized Vision Transformers. --debug: errors keep their traceback.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in catalog.names(VERBS):
        example = importlib.import_module(f"{VERBS}.{name}").EXAMPLE
        app.command(name.replace("_", "-"), epilog=f"Example: {example}")(catalog.find(VERBS, name))
    return app


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
