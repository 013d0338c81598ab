"""The frame of `keras-llm`: one app, one way to fail, one way to show.

A verb is a function under `@verb(...)` in a module of its group (`corpus`,
`model`, `artifact`, `quickstart`). It makes a thin call on the library and
imports heavy modules inside the function, so that `keras-llm --help` answers
in under a second.

A user's mistake is one sentence on standard error and exit code 2, an export
that failed its check one and exit code 1; a defect keeps its traceback.
"""

import errno
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import keras_llm
from keras_llm.errors import ExportError, InputError

# TensorFlow reads this when it is imported, which is later than this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# The order in which a corpus becomes a server; the help keeps it.
VERBS = ("curate", "tokenize", "pack", "train", "evaluate", "export", "serve")
PANELS = {
    "All steps at once": ("quickstart",),
    "One step at a time": (*VERBS[:3], "mix", *VERBS[3:]),
    "Make data": ("synthesize",),
    "Tune": ("finetune",),
    "Which is better": ("compare",),
    "Bring, look, make smaller": (
        *("import", "info", "describe", "data"),
        *("storages", "prune"),
    ),
    "Talk": ("generate", "chat", "ask", "feedback", "label"),
    "Plan and search": ("estimate", "sweep", "scaling"),
    "Several processes": ("launch", "data-service"),
}
ORDER = [name for names in PANELS.values() for name in names]

INTERRUPTED = (
    "Stopped. What was finished is kept: run the same command again to go on."
)
FULL = "What was finished is kept: make room, then run the same command again."
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def sentence(error: Exception) -> str:
    """Says an error in words; an `OSError` without its number.

    Example:

    >>> sentence(PermissionError(13, "Permission denied", "/run"))
    'Permission denied: /run'
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name]
    words = ": ".join([error.strerror, *names])
    return f"{words}. {FULL}" if error.errno in NO_ROOM else words


class Verbs(TyperGroup):
    """The verbs in their order, and one sentence when one of them fails."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names in the order of the work, not of the alphabet."""
        return [name for name in ORDER if name in self.commands]

    def invoke(self, ctx: Any) -> Any:
        """Runs a verb; a mistake is a sentence and exit code 2."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output left; typer ends quietly
        except (InputError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            _complain(sentence(error))
            raise typer.Exit(2) from error
        except ExportError as error:
            if ctx.params.get("debug"):
                raise
            _complain(sentence(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            _complain(str(error) or INTERRUPTED)
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=Verbs,
    name="keras-llm",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: keras-llm quickstart\n\n"
    "What a verb does, with an example: keras-llm VERB --help",
)


def below(*examples: str) -> str:
    """Returns what stands below a verb's help: command lines to try.

    Example:

    >>> below("keras-llm info gpt2")
    'Example:\\n\\n[bold]keras-llm info gpt2[/bold]'
    """
    lines = "\n\n".join(f"[bold]{line}[/bold]" for line in examples)
    title = "Example:" if len(examples) == 1 else "Examples:"
    return f"{title}\n\n{lines}"


def verb(
    *examples: str, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a function as a verb; its docstring becomes the help.

    Args:
        *examples: Whole command lines, shown below the help. A test parses
            each, so that none goes out of date.
        name: Its name, one of `PANELS`. Default: the function's.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        known = name or function.__name__.replace("_", "-")
        panel = next(title for title, all_ in PANELS.items() if known in all_)
        return app.command(
            known, rich_help_panel=panel, epilog=below(*examples)
        )(function)

    return register


def _complain(message: str) -> None:
    """Prints one sentence on standard error, unwrapped and unmarked."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(message, style="red", markup=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"keras_llm {keras_llm.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="KERAS_LLM_DEBUG",
            help="Show the whole traceback of an error.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Show the version and stop.",
        ),
    ] = False,
) -> None:
    """Build, train, evaluate, export and serve a language model of your own.

    Every step reads a plain folder and writes a plain folder, so that it can
    be run, looked at and run again alone.
    """
