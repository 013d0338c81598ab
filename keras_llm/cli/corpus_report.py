"""The verb that says what a corpus is made of: describe."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from keras_llm.cli.app import verb
from keras_llm.cli.console import command, report
from keras_llm.errors import InputError


@verb(
    "keras-llm describe runs/corpus --output runs/description",
    "keras-llm describe runs/corpus --tokenizer runs/tokenizer",
)
def describe(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="The folder that `keras-llm curate` wrote, or any files with "
            "text."
        ),
    ] = Path("runs/corpus"),
    output: Annotated[
        Path,
        typer.Option(help="The folder to write: report, datasheet, answers."),
    ] = Path("runs/description"),
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Count tokens, too: a folder, tokenizer.json, or a tiktoken "
            "file."
        ),
    ] = None,
    identify: Annotated[
        bool,
        typer.Option(
            help="Identify the language of documents that state none."
        ),
    ] = True,
    mentions: Annotated[
        bool, typer.Option(help="Count who is mentioned, next to what.")
    ] = True,
    sample_megabytes: Annotated[
        int,
        typer.Option(
            help="Text to measure readability, compression and near "
            "duplicates on."
        ),
    ] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
) -> None:
    """Say what a corpus is made of, and write its datasheet.

    Sources, languages, licences, lengths, words, readability, repetition and
    who is mentioned, as a page with pictures; DATASHEET.md with what is known
    filled in. Put your answers into answers.yaml there and run it again.
    """
    from keras_llm.evaluate import write_description

    if sample_megabytes < 1:
        raise InputError(
            "Expected --sample-megabytes of 1 or more. Received: "
            f"{sample_megabytes}."
        )
    done = write_description(
        corpus,
        output,
        _tokenizer(tokenizer),
        identify,
        mentions,
        sample_megabytes << 20,
        seed,
    )
    following = command(*_next(corpus, tokenizer))
    report(f"Described {corpus}", _facts(done), following)
    console = Console(highlight=False, soft_wrap=True)
    for warning in done.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False)


def _tokenizer(path: Path | None) -> Any:
    if path is None:
        return None
    from keras_llm.tokenizers import load_host

    return load_host(path)


def _facts(done: Any) -> dict[str, Any]:
    found = done.description
    facts: dict[str, Any] = {
        "documents": found.documents,
        "bytes": found.bytes,
        "words": found.words,
    }
    if found.tokens is not None:
        facts["tokens"] = found.tokens
    facts["report"] = str(done.html)
    facts["datasheet"] = str(done.datasheet)
    facts["questions open"] = f"{len(done.open_questions)}, in {done.answers}"
    return facts


def _next(corpus: Path, tokenizer: Path | None) -> tuple[Any, ...]:
    """Files are curated, a curated corpus tokenized, and then packed."""
    if not (corpus / "curate.json").is_file():
        return ("curate", corpus)
    if tokenizer is None:
        return ("tokenize", corpus)
    return ("pack", corpus, "--tokenizer", tokenizer)
