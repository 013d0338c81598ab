"""The verb `finetune` and its flavours, one command each."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from keras_llm.cli.app import PANELS, app, below
from keras_llm.cli.console import command
from keras_llm.cli.finetune_config import flags_first
from keras_llm.cli.finetune_data import (
    instructions,
    keep_talks,
    some,
    texts_of,
)
from keras_llm.cli.finetune_kept import then
from keras_llm.cli.finetune_options import Options
from keras_llm.cli.finetune_run import (
    Recipe,
    keep_adapter,
    load,
    read_all,
    run,
    show_samples,
    split,
)
from keras_llm.cli.finetune_tasks import ChatOptions, TextOptions
from keras_llm.cli.model import load_model
from keras_llm.errors import InputError, check_choice

GENERAL = 200_000  # characters of general text that are measured

FLAVOURS = ("text", "chat", "classify", "tokens", "prefer", "reward", "grpo")


class Flavours(TyperGroup):
    """The flavours in the order of the work."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names, those of the plainest data first."""
        return [name for name in FLAVOURS if name in self.commands]


tuning = typer.Typer(
    cls=Flavours, no_args_is_help=True, rich_markup_mode="rich"
)
Flavour = Callable[[Any], None]


@tuning.callback()
def _finetune() -> None:
    """Adapt a model to a task: its texts, its answers, labels, preferences.

    Run the same command again after a kill: it goes on exactly. A finished
    run shows its results at once.
    """


app.add_typer(
    tuning,
    name="finetune",
    rich_help_panel=next(
        t for t, names in PANELS.items() if "finetune" in names
    ),
    epilog=below(
        "keras-llm finetune chat runs/model --data chats.jsonl",
        "keras-llm finetune classify --help",
    ),
)


def flavour(
    kind: type[Options], *examples: str
) -> Callable[[Flavour], Flavour]:
    """Registers a function of a record of options as a command.

    Args:
        kind: The record; its fields become the flags.
        *examples: Whole command lines, shown below the help.
    """
    fields = dataclasses.fields(kind)

    def register(function: Flavour) -> Flavour:
        def given(ctx: typer.Context, **values: Any) -> None:
            function(kind(**flags_first(ctx, values)))

        take: Any = functools.wraps(function)(given)
        take.__annotations__ = {
            "ctx": typer.Context,
            **{field.name: field.type for field in fields},
        }
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("ctx", keyword, annotation=typer.Context),
            *(
                inspect.Parameter(
                    field.name,
                    keyword,
                    default=field.default,
                    annotation=field.type,
                )
                for field in fields
            ),
        ]
        take.__signature__ = inspect.Signature(parameters)
        tuning.command(function.__name__, epilog=below(*examples))(take)
        return function

    return register


@flavour(
    TextOptions,
    "keras-llm finetune text runs/model --data notes.txt --epochs 2",
    "keras-llm finetune text runs/model --data laws --replay runs/corpus "
    "--lora 8",
)
def text(options: TextOptions) -> None:
    """Read the texts of a field; say perplexity before and after.

    Data are text files, JSON Lines with "text", folders of them, or a corpus
    of `keras-llm curate` with its held-out part. With --replay some rows are
    general text, and what is forgotten of it is measured.
    """
    out, replay = options.output, options.replay or []

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import tune

        texts, held = texts_of(options, options.files(), options.validation)
        others, general = texts_of(options, replay)
        lm = load(options)
        recipe.keep(out)
        report = tune.text(
            lm,
            texts,
            validation=held,
            replay=others,
            replay_share=options.replay_share,
            general=some(general, GENERAL) if held else (),
            teacher=_teacher(options.teacher),
            **_common(options),
        )
        keep_adapter(lm, out)
        return report, lm

    words = (("generate", "The ", "--model", out), ("export", out))
    run("text", options, tuned, [command(*one) for one in words], replay)


@flavour(
    ChatOptions,
    "keras-llm finetune chat runs/model --data chats.jsonl",
    "keras-llm finetune chat runs/model --data alpaca.json --template alpaca "
    "--config chat-lora",
    "keras-llm finetune chat runs/model --data papers.jsonl --task summarize "
    "--field text=abstract",
)
def chat(options: ChatOptions) -> None:
    """Learn to answer from conversations or instructions.

    Data are JSON or JSON Lines in the form of OpenAI, ShareGPT or Alpaca, or
    with prompt and completion; with --task, records with a task's fields.
    Only the answers are learned.
    """
    out = options.output
    _check(options)

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import tune

        lm = with_template(load(options), options.template)
        talks, held = split(options, _reader(options, lm))
        teacher = _teacher(options.teacher)
        recipe.keep(out)
        if teacher is not None and options.distill == "answers":
            path = out / f"teacher-{recipe.digest}.jsonl"
            most = (options.context_length or lm.config.context_length) // 2
            talks, teacher = _answered(teacher, talks, path, most), None
        report = tune.chat(
            lm,
            talks,
            validation=held,
            learn=options.learn,
            too_long=options.too_long,
            teacher=teacher,
            samples=options.samples,
            **_common(options),
        )
        keep_adapter(lm, out)
        return report, lm

    run("chat", options, tuned, then(out), show=show_samples)


def _common(options: Any) -> dict[str, Any]:
    """What `tune.text` and `tune.chat` are told alike."""
    return {
        "out": options.output,
        "context_length": options.context_length,
        "trainable": {**options.trainable(), "neftune": options.neftune},
        **options.settings(),
    }


def _check(options: ChatOptions) -> None:
    """Refuses words of a choice before TensorFlow is waited for."""
    check_choice("--distill", options.distill, ("logits", "answers"))
    check_choice("--learn", options.learn, ("answers", "last", "all"))
    check_choice("--too-long", options.too_long, ("drop", "cut", "error"))
    about = ("field", "same", "answer")
    given = [f"--{name}" for name in about if getattr(options, name)]
    if given and options.task is None:
        raise InputError(
            f"Expected --task with {', '.join(given)}. Received: none."
        )


def _reader(options: ChatOptions, lm: Any) -> Callable[[Path], Any]:
    """From a file to conversations."""
    from keras_llm.tune import read_conversations

    if options.task is not None:
        return functools.partial(instructions, options)
    return functools.partial(read_conversations, joint=joint_of(lm))


def with_template(lm: Any, name: str | None) -> Any:
    """Returns the model with another chat template, or as it is."""
    return lm if name is None else lm.replace(chat=name)


def joint_of(lm: Any) -> str:
    """Returns what stands between an instruction and its input."""
    from keras_llm import tune
    from keras_llm.tokenizers.chat import TEMPLATES
    from keras_llm.tune.conversations import JOINT

    alpaca = lm.chat_template == TEMPLATES["alpaca"]  # its published prompt
    return tune.ALPACA_JOINT if alpaca else JOINT


def _teacher(path: Path | None) -> Any:
    return None if path is None else load_model(path)


def _answered(teacher: Any, talks: list, path: Path, most: int) -> list:
    """Conversations with the teacher's answers, asked for once."""
    from keras_llm import tune

    if not path.exists():
        keep_talks(
            path, tune.teacher_answers(teacher, talks, max_new_tokens=most)
        )
    return read_all(tune.read_conversations, [path])
