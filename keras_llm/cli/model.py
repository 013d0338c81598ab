"""The verb generate, and what the verbs around a model share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli import sampling_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import (
    start_tensorflow,
)
from keras_llm.compare.model_source import load_model

Model = Annotated[
    Path,
    typer.Argument(
        help="What `keras-llm train` or `keras-llm import` wrote, another "
        "model folder (CausalLM's or Hugging Face's), or a preset."
    ),
]


@verb(
    'keras-llm generate "The " --max-new-tokens 100',
    'keras-llm generate "def " --temperature 0.8 --top-p 0.95 --seed 7',
)
def generate(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    model: Annotated[
        Path, typer.Option(help="What `keras-llm train` wrote.")
    ] = Path("runs/model"),
    max_new_tokens: Annotated[
        int, typer.Option(help="Most tokens to add.")
    ] = 64,
    temperature: options.Temperature = 0.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    seed: options.Seed = 0,
) -> None:
    """Continue a text, printed as it comes."""
    from keras_llm.sampling import GenerationSettings

    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        seed=seed,
    )  # checked before TensorFlow is waited for
    start_tensorflow()
    lm = load_model(model)
    pieces = lm.stream(prompt, **settings.to_dict())
    first = next(pieces, "")  # a prompt too long fails before it is echoed
    typer.echo(prompt + first, nl=False)
    for piece in pieces:
        typer.echo(piece, nl=False)
    typer.echo()


def heldout_bits(lm: Any, corpus: Path) -> Any:
    """Returns the `BitsReport` of a corpus's held-out documents."""
    from keras_llm.data import read_corpus
    from keras_llm.evaluate import bits_per_byte

    documents = read_corpus(corpus, "heldout")
    texts = [document.text for document in documents]
    return bits_per_byte(lm.model, lm.tokenizer, texts)


def rounded(value: float | None, digits: int = 3) -> str | None:
    """Returns a number for a table, None for None.

    Example:

    >>> rounded(1234.5678, 1)
    '1,234.6'
    """
    return None if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str | None:
    """Returns a share as a percentage, None for None.

    Example:

    >>> percent(0.4567)
    '45.7%'
    """
    return None if value is None else f"{value:.1%}"
