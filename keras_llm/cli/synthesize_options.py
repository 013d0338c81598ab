"""Options of `keras-llm synthesize`, and which kinds of data they are for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.errors import InputError, check_choice

DOCUMENTS = ("instructions", "questions", "rephrase")
KINDS = (*DOCUMENTS, "self-instruct", "reflect", "prefer", "augment")
ASKED, KEPT, SHAPE, NOISE = (
    "How the model is asked",
    "What is kept",
    "Of some kinds only",
    "Noise (augment)",
)

Kind = Annotated[str, typer.Argument(help=", ".join(KINDS) + ".")]
Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Documents; for self-instruct and reflect chats; for prefer "
        "prompts; for augment one file of labelled texts."
    ),
]
Output = Annotated[Path, typer.Option(help="The folder to write.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Who writes: http://HOST:PORT/v1#MODEL, or a model of your own.",
        rich_help_panel=ASKED,
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        help="reflect, prefer: who judges. Default: the model itself.",
        rich_help_panel=SHAPE,
    ),
]
Other = Annotated[
    str | None,
    typer.Option(
        help="prefer: who writes the second answer. Default: the model.",
        rich_help_panel=SHAPE,
    ),
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompt",
        help="A file to ask with instead, with {document}, {instruction} and "
        "so on where the text belongs. --dry-run shows the usual one.",
        rich_help_panel=ASKED,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show the first prompt, and ask nothing.",
        rich_help_panel=ASKED,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Use only so many documents, chats or prompts; self-instruct: "
        "make so many instructions (default 100).",
        rich_help_panel=ASKED,
    ),
]
Temperature = Annotated[
    float,
    typer.Option(help="0 takes the likeliest token.", rich_help_panel=ASKED),
]
MaxNewTokens = Annotated[
    int,
    typer.Option(help="Most tokens of an answer.", rich_help_panel=ASKED),
]
Concurrency = Annotated[
    int,
    typer.Option(help="Questions under way at once.", rich_help_panel=ASKED),
]
Seed = Annotated[
    int, typer.Option(help="Another one draws anew.", rich_help_panel=ASKED)
]
Prices = Annotated[
    str | None,
    typer.Option(
        help="What a million tokens in and out cost, for the report: 0.5,1.5",
        rich_help_panel=ASKED,
    ),
]
MinimumLength = Annotated[
    int | None,
    typer.Option(
        help="Drop examples with fewer characters. Default: 20, 100 of "
        "rephrase.",
        rich_help_panel=KEPT,
    ),
]
NearDuplicates = Annotated[
    float,
    typer.Option(
        help="Drop examples this much like an earlier one; 0 keeps them.",
        rich_help_panel=KEPT,
    ),
]
Decontaminate = Annotated[
    list[Path] | None,
    typer.Option(
        help="File of a benchmark: examples with 13 of its words in a row are "
        "dropped. Again for more.",
        rich_help_panel=KEPT,
    ),
]
AnyLanguage = Annotated[
    bool,
    typer.Option(
        "--any-language",
        help="Keep answers in another language than their source.",
        rich_help_panel=KEPT,
    ),
]
KeepPersonal = Annotated[
    bool,
    typer.Option(
        "--keep-personal",
        help="Put no placeholders in place of e-mail addresses and the like.",
        rich_help_panel=KEPT,
    ),
]
PerDocument = Annotated[
    int | None,
    typer.Option(
        help="instructions, questions: pairs asked of a document. Default: 3.",
        rich_help_panel=SHAPE,
    ),
]
Longest = Annotated[
    int | None,
    typer.Option(
        help="Cut longer documents at blank lines. Default: 4,000 characters; "
        "1,500 of rephrase.",
        rich_help_panel=SHAPE,
    ),
]
Style = Annotated[
    str | None,
    typer.Option(
        help="rephrase: easy, medium, hard, qa or persona. Default: medium.",
        rich_help_panel=SHAPE,
    ),
]
Persona = Annotated[
    str | None,
    typer.Option(
        help='rephrase: who tells it, "a retired sailor".',
        rich_help_panel=SHAPE,
    ),
]
Copies = Annotated[
    int | None,
    typer.Option(
        help="Noisy copies of each text. Default: 2.", rich_help_panel=NOISE
    ),
]
Noises = Annotated[
    str | None,
    typer.Option(
        help="Out of swap, delete, punctuate, replace, insert, keyboard, ocr, "
        "case, with commas. Default: the first three.",
        rich_help_panel=NOISE,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        help="Share of words that change. Default: 0.1.",
        rich_help_panel=NOISE,
    ),
]
Synonyms = Annotated[
    Path | None,
    typer.Option(
        help="For replace and insert: words of like meaning on each line.",
        rich_help_panel=NOISE,
    ),
]
HoldOut = Annotated[
    float | None,
    typer.Option(
        help="Share held out before there are copies. Default: 0.1.",
        rich_help_panel=NOISE,
    ),
]
Via = Annotated[
    str | None,
    typer.Option(
        help="With --model: a copy translated there and back: German.",
        rich_help_panel=NOISE,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        help="What the texts are in, for --via. Default: English.",
        rich_help_panel=NOISE,
    ),
]

_FOR = {
    "judge": ("reflect", "prefer"),
    "other": ("prefer",),
    "per_document": ("instructions", "questions"),
    "longest": DOCUMENTS,
    "style": ("rephrase",),
    "persona": ("rephrase",),
    **dict.fromkeys(
        ("copies", "noises", "strength", "synonyms", "hold_out", "via"),
        ("augment",),
    ),
    "language": ("augment",),
}


def check_kind(kind: str, given: Mapping[str, Any]) -> None:
    """Refuses a kind that there is not, and options of other kinds.

    Args:
        kind: One of `KINDS`.
        given: Options by name; None where one was not given.

    Raises:
        InputError: The kind is another one, or an option is none of its.

    Example:

    >>> check_kind("rephrase", {"style": "easy", "copies": None})
    """
    check_choice("the kind of data", kind, KINDS)
    for name, value in given.items():
        if value is not None and kind not in _FOR[name]:
            raise InputError(
                f"Expected --{name.replace('_', '-')} with "
                f"{' or '.join(_FOR[name])}. Received: it with {kind}."
            )


def prices_of(text: str | None) -> dict[str, float]:
    """Returns both prices of a million tokens, as settings.

    Raises:
        InputError: They are not two numbers.

    Example:

    >>> prices_of("0.5, 1.5")
    {'price_in': 0.5, 'price_out': 1.5}
    """
    if text is None:
        return {}
    try:
        first, second = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            "Expected two prices with a comma between, of a million tokens in "
            f"and out, such as 0.5,1.5. Received: {text}."
        ) from error
    return {"price_in": first, "price_out": second}
