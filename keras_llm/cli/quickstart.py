"""quickstart: from raw text to a served model in one command.

It chains the verbs. Every stage leaves a plain folder; a stage whose result
is there is not done again, so a stopped quickstart goes on where it was.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from keras_llm.cli.app import verb
from keras_llm.cli.artifact import (
    SAVED_MODEL,
    artifact_facts,
    write_litert,
    write_saved_model,
)
from keras_llm.cli.console import check_output, start_tensorflow
from keras_llm.cli.model import (
    heldout_bits,
    load_model,
    pretrain,
    rounded,
    training_facts,
)
from keras_llm.cli.quickstart_page import (
    Findings,
    artifact_row,
    likeness,
    quantized_row,
    show,
    write_page,
)
from keras_llm.errors import InputError
from keras_llm.files import TEMPORARY
from keras_llm.records import Record

SETTINGS = "quickstart.json"
PROMPTS = ("The ", "def ", "import ")
NEW_TOKENS = 32
MEGA = 1e6
FLOAT32 = 4  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuickstartSettings(Record):
    """What a quickstart folder was started with."""

    data: tuple[str, ...]
    minutes: float
    size: str
    vocabulary_size: int
    context_length: int
    batch_size: int
    learning_rate: float

    def __post_init__(self) -> None:
        # Here, and not when the corpus is packed and training begins.
        self._positive(
            *("minutes", "vocabulary_size", "context_length"),
            *("batch_size", "learning_rate"),
        )


@verb(
    "keras-llm quickstart",
    "keras-llm quickstart --data notes/ --minutes 30 --size mini",
    panel="All steps at once",
)
def quickstart(
    output: Annotated[
        Path, typer.Option(help="The folder to fill; resumed if it is ours.")
    ] = Path("quickstart"),
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Files or folders with text; may be given again. Default: "
            "documentation and source of this Python."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time to train.")] = 4.0,
    size: Annotated[
        str, typer.Option(help="A preset of the zoo: tiny, mini, small.")
    ] = "tiny",
    vocabulary_size: Annotated[
        int, typer.Option(help="Tokens of the vocabulary.")
    ] = 4096,
    context_length: Annotated[
        int, typer.Option(help="Tokens that the model sees at once.")
    ] = 256,
    batch_size: Annotated[int, typer.Option(help="Rows in a step.")] = 8,
    learning_rate: Annotated[
        float, typer.Option(help="Peak of the schedule.")
    ] = 3e-3,
) -> None:
    """Raw text to a served model: curate, tokenize, pack, train, export.

    Needs no network. Leaves a folder with the corpus, the tokenizer, the
    rows, checkpoints, TensorBoard logs, report.md, a SavedModel and LiteRT
    bundles, each checked against Keras.
    """
    settings = QuickstartSettings(
        data=tuple(str(path.resolve()) for path in data or ()),
        minutes=minutes,
        size=size,
        vocabulary_size=vocabulary_size,
        context_length=context_length,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    _claim(output, settings)
    start_tensorflow()
    _Quickstart(output, settings).run()


def _claim(output: Path, settings: QuickstartSettings) -> None:
    """Starts a folder, or makes sure that it was started the same way."""
    check_output(output, force=True)
    path = output / SETTINGS
    begun = [entry for entry in _entries(output) if entry != path]
    if path.exists() and begun:
        earlier = QuickstartSettings.load(path).to_dict()
        here = settings.to_dict()
        changed = [
            f"{name} was {earlier[name]} and is {here[name]}"
            for name in here
            if list(_plain(earlier[name])) != list(_plain(here[name]))
        ]
        if changed:
            raise InputError(
                f"Expected the options that {output} was started with. "
                f"Received: {'; '.join(changed)}. Use the same options to go "
                "on, or another --output."
            )
    elif begun:
        raise InputError(
            f"Expected a new or empty folder. Received: {output}, which "
            "holds something else. Name another one with --output."
        )
    settings.save(path)


def _entries(output: Path) -> list[Path]:
    """What a folder holds; a stopped write is nothing."""
    found = output.iterdir() if output.is_dir() else ()
    return [entry for entry in found if not entry.name.startswith(TEMPORARY)]


def _plain(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


class _Quickstart:
    """The stages in their order, and what they found."""

    def __init__(self, folder: Path, settings: QuickstartSettings):
        self.folder, self.settings = folder, settings
        self.console = Console()
        self.artifacts: list[Any] = []

    def run(self) -> None:
        """Does the stages that are not done, then shows the table."""
        started = time.monotonic()
        at = self.folder
        self._stage("curate", at / "corpus", self._curate)
        self._stage("tokenize", at / "tokenizer", self._tokenize)
        self._stage("pack", at / "rows", self._pack)
        self._stage("train", None, self._train)
        self._stage("evaluate", None, self._evaluate)
        self._stage("export", None, self._export)
        found = self._findings()
        write_page(self.folder, found)
        show(self.folder, found, time.monotonic() - started)

    def _stage(
        self, name: str, result: Path | None, work: Callable[[], str]
    ) -> None:
        """Runs one stage and prints a line that says what came out."""
        if result is not None and result.exists():
            self.console.print(f"[green]{name:9}[/green] found {result}")
            return
        begun = time.monotonic()
        said = work()
        seconds = time.monotonic() - begun
        self.console.print(
            f"[green]{name:9}[/green] {said} [dim]({seconds:.0f} s)[/dim]",
            soft_wrap=True,
            highlight=False,
        )

    def _curate(self) -> str:
        from keras_llm import data

        paths = [Path(path) for path in self.settings.data]
        source = data.read_documents(*paths) if paths else None
        source = source or data.standard_library()
        done = data.curate(source, self.folder / "corpus")
        size = done.train.bytes / MEGA
        return (
            f"{done.train.documents} documents, {size:.1f} MB, "
            f"{done.heldout.documents if done.heldout else 0} held out"
        )

    def _tokenize(self) -> str:
        from keras_llm.data import read_corpus
        from keras_llm.tokenizers import HostTokenizer

        documents = read_corpus(self.folder / "corpus")
        tokenizer = HostTokenizer.train(
            (document.text for document in documents),
            self.settings.vocabulary_size,
        )
        tokenizer.save(self.folder / "tokenizer")
        return f"{tokenizer.vocabulary_size} tokens"

    def _pack(self) -> str:
        from keras_llm.data import pack_corpus
        from keras_llm.tokenizers import HostTokenizer

        manifest = pack_corpus(
            self.folder / "corpus",
            HostTokenizer.load(self.folder / "tokenizer"),
            self.folder / "rows",
            self.settings.context_length,
        )
        split = manifest.splits["train"]
        return f"{split.rows} rows, {split.tokens:,} tokens"

    def _train(self) -> str:
        settings, at = self.settings, self.folder
        self.trained, self.lm = pretrain(
            at / "rows",
            at / "tokenizer",
            at / "model",
            settings.size,
            minutes=settings.minutes,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=0,
        )
        # What is exported is what a user gets back from the disk.
        self.lm = load_model(at / "model")
        loss = rounded(self.trained.validation_loss or self.trained.loss)
        return f"{self.trained.steps} steps, loss {loss}"

    def _evaluate(self) -> str:
        self.bits = heldout_bits(self.lm, self.folder / "corpus")
        self.texts = self.lm.generate(list(PROMPTS), max_new_tokens=NEW_TOKENS)
        self.keras_speed = self._keras_speed()
        return f"{self.bits.bits_per_byte:.3f} bits per byte"

    def _keras_speed(self) -> float:
        """New tokens per second of one prompt in Keras, prefill included."""
        from keras_llm.generate import TokenGenerator
        from keras_llm.sampling import GenerationSettings

        ids = [self.lm.encode_prompt(PROMPTS[0])]
        generator = TokenGenerator(self.lm.model)  # runs to the last token
        settings = GenerationSettings(max_new_tokens=NEW_TOKENS)
        generator.generate(ids, settings)  # traces
        begun = time.monotonic()
        generator.generate(ids, settings)
        return NEW_TOKENS / (time.monotonic() - begun)

    def _export(self) -> str:
        output = self.folder / "artifacts"
        if (output / SAVED_MODEL).exists():
            # An earlier run stopped here: its versions stay, ours is added.
            self.console.print(f"          adding a version to {output}")
        plain = write_litert(self.lm, output)
        self.litert_text = plain.text  # checked: it is Keras's
        self.artifacts = [
            write_saved_model(self.lm, output, NEW_TOKENS),
            plain,
            write_litert(
                self.lm, output, quantization="int8", held_out=self._heldout()
            ),
        ]
        return f"{len(self.artifacts)} artifacts, each checked against Keras"

    def _heldout(self) -> str:
        """A text that the model has not seen, to compare losses on."""
        from keras_llm.data import read_corpus

        return next(iter(read_corpus(self.folder / "corpus", "heldout"))).text

    def _findings(self) -> Findings:
        size = self.trained.parameters * FLOAT32
        *exact, quantized = self.artifacts
        row = self._artifact_row(quantized)
        row["greedy text"] = likeness(quantized.text, self.litert_text)
        return Findings(
            facts=self._facts(),
            artifacts=[
                artifact_row("Keras", size, self.keras_speed),
                *map(self._artifact_row, exact),
            ],
            quantized=[
                quantized_row(row, quantized.ratio, quantized.delta_nats)
            ],
            texts=dict(zip(PROMPTS, self.texts, strict=True)),
        )

    def _artifact_row(self, done: Any) -> dict[str, str]:
        facts = artifact_facts(done)
        return artifact_row(
            str(Path(done.path).relative_to(self.folder / "artifacts")),
            facts["bytes"],
            facts["decode tokens/s"],
            "equal" if facts["greedy text equals Keras's"] else "differs",
        )

    def _facts(self) -> dict[str, Any]:
        bits = self.bits
        return {
            **training_facts(self.trained),
            "held-out bits per byte": rounded(bits.bits_per_byte),
            "the same, best unigram model": rounded(bits.unigram_bits_per_byte),
            "the same, xz -9": rounded(bits.xz_bits_per_byte),
        }
