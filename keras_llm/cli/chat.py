"""The verb `chat`: a conversation in the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli import sampling_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import start_tensorflow
from keras_llm.cli.model import Model, load_model
from keras_llm.errors import InputError

NEW, END = "/new", "/exit"


@verb(
    "keras-llm chat runs/model",
    'keras-llm chat runs/model --system "Be brief." --message "Hello"',
)
def chat(
    model: Model = Path("runs/model"),
    message: Annotated[
        str | None, typer.Option(help="Answer this one message and stop.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="How the model is to behave.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Chat template; default: the model's own."),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Most tokens of a reply.")
    ] = 256,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = 1.0,
    seed: options.Seed = 0,
) -> None:
    """Talk with a model; replies are printed as they come.

    Without --message it asks for yours line by line. /new starts another
    conversation; /exit or Ctrl-D ends it.
    """
    from keras_llm.sampling import GenerationSettings

    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )  # checked before TensorFlow is waited for
    start_tensorflow()
    lm = with_template(load_model(model), template)
    start = [] if system is None else [{"role": "system", "content": system}]
    if message is not None:
        answer(lm, start, message, settings.to_dict())
        return
    typer.echo(f"{NEW} starts anew, {END} ends.", err=True)
    talk = list(start)
    for line in typed():
        if line == NEW:
            talk = list(start)
            continue
        try:
            talk = answer(lm, talk, line, settings.to_dict())
        except InputError as error:  # too long, say: the talk goes on
            typer.echo(f"{error} {NEW} starts anew.", err=True)


def answer(
    lm: Any, talk: list[dict[str, str]], line: str, settings: dict[str, Any]
) -> list[dict[str, str]]:
    """Prints the reply to a line; returns the conversation with both."""
    talk = [*talk, {"role": "user", "content": line}]
    reply = ""
    for piece in lm.chat(talk, **settings):
        typer.echo(piece, nl=False)
        reply += piece
    typer.echo()
    return [*talk, {"role": "assistant", "content": reply}]


def typed() -> Iterator[str]:
    """Yields the lines that the user types, until the end or /exit."""
    while True:
        try:
            line = input("> ")
        except EOFError:
            typer.echo()
            return
        if line == END:
            return
        if line.strip():
            yield line


def with_template(lm: Any, name: str | None) -> Any:
    """Returns the model with another chat template, or as it is for None.

    Raises:
        InputError: The model has no template and none is named.
    """
    from keras_llm.tokenizers.chat import TEMPLATES

    if name is not None:
        return lm.replace(chat=name)
    if lm.chat_template is None:
        raise InputError(
            "Expected a model with a chat template. Received: one without. "
            "Name the format it was trained on with --template: "
            f"{', '.join(TEMPLATES)}."
        )
    return lm
