"""The verb `mix`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_llm.cli.app import verb
from keras_llm.cli.console import check_output, command, report, shown
from keras_llm.cli.estimate import tokens_of
from keras_llm.errors import InputError


@verb(
    "keras-llm mix runs/web=0.7 runs/books=0.3 --output runs/mixed "
    "--tokens 10M",
    "keras-llm mix runs/en runs/fi runs/sw --temperature 3.33 --max-epochs 4",
    "keras-llm mix runs/web=0.9:0.5 runs/books=0.1:0.5 --tokens 1B",
    "keras-llm mix runs/corpus --by-language --temperature 3.33",
    "keras-llm mix runs/rows --curriculum rarity --stages 8",
)
def mix(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders that `keras-llm pack` wrote: FOLDER, FOLDER=WEIGHT, "
            "or FOLDER=START:END for weights that change in training."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The folder of the mixture to write.")
    ] = Path("runs/mixed"),
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Tokens that training will take: 300M, 10B. Default: as many "
            "as the sources have."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Instead of weights: 1 by size, inf all alike, 3.33 as mT5 "
            "and XLM-R (1/alpha)."
        ),
    ] = None,
    max_epochs: Annotated[
        float | None,
        typer.Option(
            help="Most times a source may come; the others get the rest. "
            "With --temperature inf this is UniMax."
        ),
    ] = None,
    curriculum: Annotated[
        str | None,
        typer.Option(
            help="Easy rows first: length, compression, rarity, or a .npy "
            "with a number for each row."
        ),
    ] = None,
    stages: Annotated[
        int, typer.Option(help="Parts of the curriculum; shuffled within.")
    ] = 4,
    by_language: Annotated[
        bool,
        typer.Option(
            "--by-language",
            help="Pack a curated corpus by its documents' languages first.",
        ),
    ] = False,
    parts: Annotated[
        Path, typer.Option(help="Where --by-language packs them.")
    ] = Path("runs/languages"),
    tokenizer: Annotated[
        Path, typer.Option(help="The tokenizer for --by-language.")
    ] = Path("runs/tokenizer"),
    context_length: Annotated[
        int, typer.Option(help="Tokens in a row for --by-language.")
    ] = 512,
    seed: Annotated[int, typer.Option(help="Order within sources.")] = 0,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace an earlier mixture there."),
    ] = False,
) -> None:
    """Mix packed rows of several sources in exact shares; copies nothing.

    The mixture is a folder to train on like any rows. Every window of the
    training has its shares, a resumed run goes on with the same rows, and a
    source that comes more than 4 times is named.
    """
    from keras_llm import data

    check_output(output, force)
    folders, weights = sources_of(sources)
    if by_language:
        folders = _packed(folders, weights, tokenizer, parts, context_length)
    mixed = data.mix(
        folders,
        output,
        weights=weights,
        temperature=temperature,
        tokens=None if tokens is None else tokens_of(tokens),
        max_epochs=max_epochs,
        curriculum=_curriculum(curriculum),
        stages=stages,
        seed=seed,
    )
    Console().print(_table(mixed.plan))
    report(
        f"Mixed {output}",
        {
            "rows": len(mixed),
            "tokens": mixed.plan.tokens,
            "phases": len(mixed.plan.sources[0].drawn),
            "curriculum": mixed.plan.curriculum or "none",
        },
        command("train", output, "--tokenizer", tokenizer),
    )


def sources_of(words: list[str]) -> tuple[dict[str, str], Any]:
    """Returns folders by name, and weights by name, in phases, or None.

    Raises:
        InputError: Only some have a weight, or one is no number.

    Example:

    >>> sources_of(["runs/web=0.7", "runs/books=0.3"])
    ({'web': 'runs/web', 'books': 'runs/books'}, {'web': 0.7, 'books': 0.3})
    """
    from keras_llm.data import weight_schedule

    pairs = [_cut(word) for word in words]
    folders = [folder for folder, _ in pairs]
    names = [Path(folder).name for folder in folders]
    if len(set(names)) < len(names):
        names = folders  # two of one name are told apart by their paths
    if len(set(names)) < len(names):
        raise InputError(
            f"Expected each source once. Received: {', '.join(words)}."
        )
    given = {name: told for name, (_, told) in zip(names, pairs, strict=True)}
    by_name = dict(zip(names, folders, strict=True))
    if not any(given.values()):
        return by_name, None
    ends = {name: _weights(told, name) for name, told in given.items()}
    start = {name: pair[0] for name, pair in ends.items()}
    end = {name: pair[1] for name, pair in ends.items()}
    return by_name, start if start == end else weight_schedule(start, end)


def _cut(word: str) -> tuple[str, str]:
    """Returns a folder and what stands behind its last "="."""
    if Path(word).is_dir():
        return word, ""
    folder, sign, weight = word.rpartition("=")
    return (folder, weight) if sign else (weight, "")


def _weights(told: str, name: str) -> tuple[float, float]:
    """Reads WEIGHT or START:END."""
    start, _, end = told.partition(":")
    try:
        return float(start), float(end or start)
    except ValueError as error:
        raise InputError(
            "Expected FOLDER=WEIGHT or FOLDER=START:END for every source, or "
            f"for none. Received: {told or 'no weight'!r} for {name}."
        ) from error


def _packed(
    folders: Mapping[str, str],
    weights: Any,
    tokenizer: Path,
    parts: Path,
    context_length: int,
) -> dict[str, Path]:
    """Packs one corpus by language."""
    from keras_llm.data import pack_parts
    from keras_llm.tokenizers import load_host

    if len(folders) != 1 or weights is not None:
        raise InputError(
            "Expected one corpus without a weight for --by-language. "
            f"Received: {', '.join(folders.values())}. Set --temperature."
        )
    (corpus,) = folders.values()
    return pack_parts(corpus, load_host(tokenizer), parts, context_length)


def _curriculum(told: str | None) -> Any:
    """A score's name, or the numbers in a file."""
    if told is None or not told.endswith(".npy"):
        return told
    import numpy as np

    try:
        return np.load(told)
    except ValueError as error:
        raise InputError(
            f"Expected a number for each row in {told}. Received: {error}."
        ) from error


def _table(plan: Any) -> Table:
    """One line a source: what it has, and what is taken."""
    table = Table(title="One pass of the mixture", title_justify="left")
    table.add_column("source", style="cyan", overflow="fold")
    for column in ("has rows", "takes rows", "tokens", "share", "epochs"):
        table.add_column(column, justify="right")
    table.add_column("note")
    for one in plan.sources:
        table.add_row(
            one.name,
            shown(one.rows),
            shown(one.drawn_rows),
            shown(round(one.drawn_tokens)),
            f"{plan.share(one):.2%}",
            f"{one.epochs:.2f}",
            _note(one, plan.max_epochs or {}),
        )
    return table


def _note(one: Any, limits: Mapping[str, float]) -> str:
    """What is worth knowing of a source."""
    from keras_llm.data.mixtures.weights import REPEATS

    if not one.drawn_rows:
        return "less than a row"
    if one.epochs > REPEATS:
        return f"more than {REPEATS} times"
    limit = limits.get(one.name)
    at_limit = limit is not None and one.drawn_rows >= limit * one.rows - 1
    return "at its limit" if at_limit else ""
