"""The word `data inspect`: a row with its documents, in colour."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_llm.cli.data_rows import Rows, Split, word
from keras_llm.cli.data_tokens import Speller, speller_of

if TYPE_CHECKING:
    from keras_llm.data import RowPart, RowView

STYLES = ("black on #CFE5F3", "black on #FBE3B5")
FIRST, SPECIAL, PADDING = "underline", "bold white on #8B3A62", "on #777777"


@word(
    "keras-llm data inspect runs/rows --row 3 --tokenizer runs/tokenizer",
    "keras-llm data inspect runs/rows --split heldout --table",
    "keras-llm data inspect runs/rows --tokenizer runs/tokenizer "
    "--html row.html",
)
def inspect(
    rows: Rows = Path("runs/rows"),
    row: Annotated[int, typer.Option(help="Its number, from 0.")] = 0,
    split: Split = "train",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="The tokenizer the rows were packed with. Without one, ids "
            "are shown."
        ),
    ] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="A line for each token, with numbers."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with all of it instead."),
    ] = None,
) -> None:
    """Show what one row holds: documents, tokens, positions and weights.

    Tokens have two colours in turn; special tokens a third. Underlined ones
    are predicted by nothing: a document begins there. Grey is padding.
    """
    from keras_llm.data import open_rows, view_row

    opened = open_rows(rows, split)
    view, speller = view_row(opened, row), speller_of(opened, tokenizer)
    if html is not None:
        from keras_llm.cli.data_page import write_page

        write_page(html, opened, view, speller)
        typer.echo(f"Written {html}")
        return
    console = Console()
    console.print(summary(opened.name, len(opened), view), soft_wrap=True)
    for number, part in enumerate(view.parts, start=1):
        console.print(f"\n{heading(number, part)}", style="bold")
        if table:
            console.print(_table(part, speller))
        else:
            console.print(_tokens(part, speller), soft_wrap=False)
    if view.padding:
        console.print(f"\nPadding, {view.padding} places", style="bold")
        console.print(Text(" " * view.padding, PADDING))


def summary(name: str, number: int, view: "RowView") -> str:
    """Returns the first line.

    Example:

    >>> from keras_llm.data import RowView
    >>> summary("runs/rows (train)", 9, RowView(3, 17, ()))
    'Row 3 of 9 (from 0), runs/rows (train): 17 places, 0 documents, \
0 targets, 17 padding'
    """
    return (
        f"Row {view.index} of {number:,} (from 0), {name}: {view.length} "
        f"places, {len(view.parts)} documents, {view.targets} targets, "
        f"{view.padding} padding"
    )


def heading(number: int, part: "RowPart") -> str:
    """Returns the line over a document: where it is, and if it is whole."""
    first, last = part.places[0], part.places[-1]
    cut = [
        words
        for words, known in (
            ("goes on from another row", part.begins),
            ("goes on in another row", part.ends),
        )
        if known is False
    ]
    return ", ".join(
        [
            f"Document {number}: segment {first.segment}",
            f"places {first.index} to {last.index}",
            f"positions {first.position} to {last.position}",
            *cut,
        ]
    )


def _tokens(part: "RowPart", speller: Speller) -> Text:
    """Returns the tokens one after the other, a line ends where one does."""
    text = Text()
    for turn, spelled in enumerate(_spelled(part, speller)):
        place = part.places[turn]
        styles = [STYLES[turn % len(STYLES)]]
        if speller.special(place.token):
            styles = [SPECIAL]
        if not place.weight:
            styles.append(FIRST)
        text.append(spelled, " ".join(styles))
        if spelled.endswith("⏎"):
            text.append("\n")
    return text


def _spelled(part: "RowPart", speller: Speller) -> Iterator[str]:
    """Yields what is shown; numbers have a space around them."""
    for place in part.places:
        spelled = speller.text(place.token)
        yield f" {spelled} " if spelled == str(place.token) else spelled


def _table(part: "RowPart", speller: Speller) -> Table:
    """Returns a line for each token."""
    table = Table(box=None, header_style="cyan")
    for name in ("place", "segment", "position", "weight", "id"):
        table.add_column(name, justify="right")
    table.add_column("token")
    for turn, place in enumerate(part.places):
        special = speller.special(place.token)
        style = SPECIAL if special else STYLES[turn % len(STYLES)]
        numbers = (
            *(place.index, place.segment, place.position, place.weight),
            place.token,
        )
        spelled = Text(speller.text(place.token), style)
        table.add_row(*map(str, numbers), spelled)
    return table
