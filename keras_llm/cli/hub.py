"""import: a published model becomes a model folder of ours."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli.app import verb
from keras_llm.cli.console import command, report, start_tensorflow
from keras_llm.errors import InputError

DTYPES = ("float32", "bfloat16", "float16")


@verb(
    "keras-llm import gpt2 --output runs/gpt2",
    "keras-llm import Qwen/Qwen3-0.6B --dtype bfloat16 --context-length 4096",
    "keras-llm import runs/my-checkpoint --output runs/mine",
    name="import",
)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder with config.json, safetensors and tokenizer, a "
            "preset, or a name on the Hugging Face hub."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The model folder to write.")
    ] = Path("runs/imported"),
    dtype: Annotated[
        str,
        typer.Option(
            help="Precision of the saved weights: float32, bfloat16 or float16."
        ),
    ] = "float32",
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit on the hub."),
    ] = None,
    context_length: Annotated[
        int | None,
        typer.Option(
            min=1, help="A shorter context, to save memory for the cache."
        ),
    ] = None,
) -> None:
    """Bring a published model here: weights, tokenizer, chat, settings.

    What is on the hub is downloaded once, compared with the hub's hashes and
    kept in its cache; the commit is recorded. Private and gated models need
    HF_TOKEN. Anything in a file that would be lost is refused by name.
    """
    if dtype not in DTYPES:
        raise InputError(
            f"Expected --dtype to be one of {', '.join(DTYPES)}. "
            f"Received: {dtype}."
        )
    start_tensorflow()
    from keras_llm import zoo

    changes = (
        {} if context_length is None else {"context_length": context_length}
    )
    lm = zoo.load(source, dtype, revision, **changes)
    lm.save(output)
    report(
        f"Imported {output}",
        imported_facts(lm),
        command("generate", "The ", "--model", output),
        command("evaluate", output),
        command("export", output),
    )


def imported_facts(lm: Any) -> dict[str, Any]:
    """The lines that a person wants to see of a published model."""
    from keras_llm.tokenizers.chat import TEMPLATES

    names = [n for n, t in TEMPLATES.items() if t == lm.chat_template]
    facts = {
        "family": lm.origin.family,
        "repository": lm.origin.repo,
        "commit": lm.origin.revision,
        "licence": lm.origin.license,
        "parameters": lm.model.count_params(),
        "context length": lm.config.context_length,
        "vocabulary": lm.config.vocabulary_size,
        "tokenizer": type(lm.tokenizer).__name__,
        "chat template": names[0] if names else None,
        "ends at ids": " ".join(map(str, lm.end_ids)),
    }
    return {name: value for name, value in facts.items() if value is not None}
