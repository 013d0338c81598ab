"""Options of `keras-llm curate` beyond its files, and the steps they make."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.errors import InputError

CLEANING, QUALITY, COPIES, RIGHTS, MACHINES = (
    "Cleaning",
    "Quality",
    "Duplicates",
    "Privacy and rights",
    "Many cores, many machines",
)

Clean = Annotated[
    bool,
    typer.Option(
        "--clean",
        help="Take out control characters, HTML left in text, headers of "
        "Project Gutenberg, cookie notices and the like, extra white space.",
        rich_help_panel=CLEANING,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Published quality rules: gopher, massivetext, c4, mc4 or "
        "fineweb. Needs --unit.",
        rich_help_panel=QUALITY,
    ),
]
Unit = Annotated[
    str | None,
    typer.Option(
        help="What one document is: page or paragraph. Rules for pages are "
        "refused on paragraphs.",
        rich_help_panel=QUALITY,
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(
        "--languages",
        help="Keep these only, separated by commas: en,de.",
        rich_help_panel=QUALITY,
    ),
]
BlockList = Annotated[
    Path | None,
    typer.Option(
        help="Drop documents with one of these terms, a line each.",
        rich_help_panel=QUALITY,
    ),
]
Perplexity = Annotated[
    Path | None,
    typer.Option(
        help="A small language model of yours, trained on clean text: its "
        "bits per byte of each document go into the metadata.",
        rich_help_panel=QUALITY,
    ),
]
KeepBits = Annotated[
    str | None,
    typer.Option(
        help="Keep documents with bits per byte from LOW to HIGH: 0.8,3; or "
        "between percentiles of the corpus: 2%,90%. Needs --perplexity.",
        metavar="LOW,HIGH",
        rich_help_panel=QUALITY,
    ),
]
NearDuplicates = Annotated[
    float | None,
    typer.Option(
        help="Drop documents that are this much like an earlier one, for "
        "example 0.7 (Jaccard of five-word pieces).",
        rich_help_panel=COPIES,
    ),
]
RepeatedLines = Annotated[
    int | None,
    typer.Option(
        help="Drop lines that stand in more than so many documents.",
        rich_help_panel=COPIES,
    ),
]
Decontaminate = Annotated[
    list[Path] | None,
    typer.Option(
        help="File or folder of a benchmark: documents with 13 of its words "
        "in a row are dropped. Again for more.",
        rich_help_panel=COPIES,
    ),
]
Privacy = Annotated[
    bool,
    typer.Option(
        "--privacy",
        help="Put placeholders in place of e-mail addresses, phone and card "
        "numbers, IBANs, ids, addresses.",
        rich_help_panel=RIGHTS,
    ),
]
Licenses = Annotated[
    str | None,
    typer.Option(
        "--licenses",
        help="Keep documents under these only, separated by commas.",
        rich_help_panel=RIGHTS,
    ),
]
OptOut = Annotated[
    Path | None,
    typer.Option(
        help="Addresses, domains and hashes of documents to leave out, a line "
        "each.",
        rich_help_panel=RIGHTS,
    ),
]

Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes that share the work. Default: one per processor; "
        "less than 8 MB of files are done without.",
        rich_help_panel=MACHINES,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="Who does the work: local (processes here, the default), dask, "
        "beam, or inline (this process).",
        rich_help_panel=MACHINES,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Of dask: the address of a running cluster, tcp://HOST:8786. Of "
        "beam: the options of the pipeline.",
        rich_help_panel=MACHINES,
    ),
]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder of what is done so far, which all machines see. Default: "
        "OUTPUT.work; it is removed at the end.",
        rich_help_panel=MACHINES,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be done with documents; see the options of these names."""

    minimum_length: int = 200
    longest: int | None = None
    clean: bool = False
    recipe: str | None = None
    unit: str | None = None
    languages: str | None = None
    block_list: Path | None = None
    perplexity: Path | None = None
    keep_bits: str | None = None
    near_duplicates: float | None = None
    repeated_lines: int | None = None
    decontaminate: tuple[Path, ...] = ()
    privacy: bool = False
    licenses: str | None = None
    opt_out: Path | None = None

    def steps(self) -> list[Any]:
        """Returns the steps, in the order of the work.

        First what is cheap or changes texts, then what judges them, then
        what compares them; privacy last, since placeholders make texts alike.

        Raises:
            InputError: An option is out of range, or needs another one.
        """
        from keras_llm import data

        return [
            data.repair(),
            *self._rights(),
            *self._cleaning(),
            *(
                [data.split_long(self.longest)]
                if self.longest is not None
                else []
            ),
            data.minimum_length(self.minimum_length),
            *self._quality(),
            data.exact_duplicates(),
            *self._copies(),
            *self._predicted(),
            *([data.privacy()] if self.privacy else []),
        ]

    def _rights(self) -> list[Any]:
        from keras_llm import data

        names = _split(self.licenses)
        return [
            *([data.licenses(names)] if names else []),
            *([data.opt_out(self.opt_out)] if self.opt_out else []),
        ]

    def _cleaning(self) -> list[Any]:
        from keras_llm import data

        if not self.clean:
            return []
        return [
            data.control_characters(),
            data.html_leftovers(),
            data.gutenberg(),
            data.boilerplate_lines(),
            data.white_space(),
        ]

    def _quality(self) -> list[Any]:
        from keras_llm import data

        if self.recipe and self.unit is None:
            raise InputError(
                "Expected --unit page or --unit paragraph with --recipe, "
                "because most rules are for whole pages. Received: --recipe "
                f"{self.recipe} alone."
            )
        names = _split(self.languages)
        blocked = self.block_list
        return [
            *([data.language(keep=names)] if names else []),
            *(data.recipe(self.recipe, self.unit or "") if self.recipe else []),
            *([data.blocked_terms(blocked)] if blocked else []),
        ]

    def _copies(self) -> list[Any]:
        from keras_llm import data

        near, lines = self.near_duplicates, self.repeated_lines
        benchmarks = {
            str(path): [one.text for one in data.read_documents(path)]
            for path in self.decontaminate
        }
        return [
            *([data.repeated_lines(lines)] if lines is not None else []),
            *([data.near_duplicates(near)] if near is not None else []),
            *([data.decontaminate(benchmarks)] if benchmarks else []),
        ]

    def _predicted(self) -> list[Any]:
        if self.keep_bits is not None and self.perplexity is None:
            raise InputError(
                "Expected --perplexity MODEL with --keep-bits, which judges "
                f"by a model. Received: --keep-bits {self.keep_bits} alone."
            )
        if self.perplexity is None:
            return []
        from keras_llm.data import keep_percentiles
        from keras_llm.evaluate import perplexity_filter

        if self.keep_bits is None:
            return [perplexity_filter(self.perplexity)]
        low, high, ranks = _range(self.keep_bits)
        if not ranks:
            return [perplexity_filter(self.perplexity, low, high)]
        return [
            perplexity_filter(self.perplexity),
            keep_percentiles("bits_per_byte", low, high),
        ]


def _range(text: str) -> tuple[float, float, bool]:
    """Returns two numbers, and whether they are percentiles."""
    parts = [part.strip() for part in text.split(",")]
    try:
        low, high = (float(part.removesuffix("%")) for part in parts)
        (ranks,) = {part.endswith("%") for part in parts}
    except ValueError as error:
        raise InputError(
            "Expected two numbers for --keep-bits, as 0.8,3, or two "
            f"percentiles, as 2%,90%. Received: {text!r}."
        ) from error
    return low, high, ranks


def _split(names: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (names or "").split(",") if one.strip())
