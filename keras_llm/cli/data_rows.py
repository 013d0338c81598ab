"""The verb `data` and its words: look at packed rows, merge, shuffle them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keras_llm.cli.app import PANELS, app, below
from keras_llm.cli.console import check_output, command, report

WORDS = ("inspect", "stats", "verify", "merge", "shuffle")

Rows = Annotated[
    Path, typer.Argument(help="A folder that `keras-llm pack` wrote.")
]
Split = Annotated[str, typer.Option(help="train or heldout.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace an earlier result in the folder."),
]


class Words(TyperGroup):
    """The words in the order of the work."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names; those that only look come first."""
        return [name for name in WORDS if name in self.commands]


data = typer.Typer(cls=Words, no_args_is_help=True, rich_markup_mode="rich")


@data.callback()
def _data() -> None:
    """Look at packed rows, check, merge and shuffle them."""


app.add_typer(
    data,
    name="data",
    rich_help_panel=next(t for t, names in PANELS.items() if "data" in names),
    epilog=below(
        "keras-llm data inspect runs/rows --tokenizer runs/tokenizer",
        "keras-llm data merge --help",
    ),
)


def word(
    *examples: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a function as a word of `keras-llm data`.

    Args:
        *examples: Whole command lines, shown below the help.
    """
    return lambda function: data.command(
        function.__name__, epilog=below(*examples)
    )(function)


@word("keras-llm data stats runs/rows --tokenizer runs/tokenizer")
def stats(
    rows: Rows = Path("runs/rows"),
    split: Split = "train",
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="The tokenizer they were packed with: names tokens."),
    ] = None,
) -> None:
    """Count documents, lengths and tokens of packed rows.

    A part is what one row has of one document: a document that is longer than
    a row has several.
    """
    from keras_llm.cli.data_tokens import speller_of
    from keras_llm.data import open_rows, row_statistics

    opened = open_rows(rows, split)
    speller = speller_of(opened, tokenizer)
    info, found = opened.info, row_statistics(opened)
    often = found.token_counts.argsort(kind="stable")[::-1][:10].tolist()
    lengths = [found.part_length(share) for share in (0.1, 0.5, 0.9)]
    report(
        f"Rows {opened.name}",
        {
            "rows": len(opened),
            "tokens in a row": opened.row_length,
            "shards": len(info.shards),
            "bytes": sum(
                (rows / name).stat().st_size
                for shard in info.shards
                for name in (shard.tokens, shard.segments)
            ),
            "documents": info.documents,
            "empty documents": info.empty,
            "parts of documents": found.parts,
            "parts in a row": f"{found.parts / found.rows:.2f} on average, "
            f"at most {len(found.parts_per_row) - 1}",
            "tokens in a part": "{} / {} / {} (10 %, half, 90 %)".format(
                *lengths
            ),
            "tokens": info.tokens,
            "targets": info.targets,
            "padding": f"{info.padding_share:.2%}",
            "bytes of text per token": f"{info.text_bytes / info.tokens:.2f}",
            "vocabulary used": f"{found.tokens_used:,} of "
            f"{opened.vocabulary_size:,}",
            "most frequent": " ".join(map(speller.text, often)),
            "tokenizer": opened.tokenizer[:16],
        },
    )


@word("keras-llm data verify runs/rows")
def verify(rows: Rows = Path("runs/rows")) -> None:
    """Read every shard and compare its hash with the manifest."""
    from keras_llm.data import Manifest, open_rows

    splits = Manifest.load(rows).splits
    for split in splits:
        open_rows(rows, split).verify()
    files = sum(2 * len(split.shards) for split in splits.values())
    report(f"Verified {rows}", {"files as they were written": files})


@word(
    "keras-llm data merge runs/books runs/web --output runs/rows",
)
def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of rows, packed with one tokenizer."),
    ],
    output: Annotated[
        Path, typer.Option(help="The folder of rows to write.")
    ] = Path("runs/merged"),
    force: Force = False,
) -> None:
    """Join folders of packed rows into one, by links and not by copies."""
    from keras_llm.data import merge_rows

    check_output(output, force)
    _report("Merged", output, merge_rows(folders, output))


@word("keras-llm data shuffle runs/rows --output runs/shuffled --seed 1")
def shuffle(
    rows: Rows = Path("runs/rows"),
    output: Annotated[
        Path, typer.Option(help="The folder of rows to write.")
    ] = Path("runs/shuffled"),
    seed: Annotated[int, typer.Option(help="Decides the order.")] = 0,
    shard_rows: Annotated[
        int, typer.Option(help="Rows in each file.")
    ] = 65_536,
    memory: Annotated[
        int, typer.Option(help="MiB of rows held at a time.")
    ] = 256,
    force: Force = False,
) -> None:
    """Write packed rows anew in a random order.

    Training shuffles by itself: this is for rows that are read from begin to
    end, off an object store or a spinning disk. The order depends on the seed
    and the number of rows only.
    """
    from keras_llm.data import shuffle_rows

    check_output(output, force)
    manifest = shuffle_rows(rows, output, seed, shard_rows, memory * 2**20)
    _report("Shuffled", output, manifest)


def _report(done: str, output: Path, manifest: Any) -> None:
    """Says what each split holds now."""
    facts = {}
    for name, split in manifest.splits.items():
        facts[f"{name} rows"] = split.rows
        facts[f"{name} tokens"] = split.tokens
        facts[f"{name} shards"] = len(split.shards)
    report(f"{done} {output}", facts, command("data", "inspect", output))
