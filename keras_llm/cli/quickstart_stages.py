"""The stages of a quickstart, each skipped when its result is there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_llm.cli.artifact import (
    SAVED_MODEL,
    artifact_facts,
    write_litert,
    write_saved_model,
)
from keras_llm.cli.model import heldout_bits, load_model, rounded
from keras_llm.cli.quickstart_page import (
    FOUND,
    Findings,
    artifact_row,
    likeness,
    quantized_row,
    show,
    write_page,
)
from keras_llm.cli.train import pretrain, training_facts

PROMPTS = ("The ", "def ", "import ")
NEW_TOKENS = 32
MEGA = 1e6
FLOAT32 = 4  # bytes


class Stages:
    """The stages in their order, and what they found."""

    def __init__(self, folder: Path, settings: Any):
        self.folder, self.settings = folder, settings
        self.console = Console()
        self.artifacts: list[Any] = []

    def run(self) -> None:
        """Does the stages that are not done, then shows the table."""
        started = time.monotonic()
        at = self.folder
        if (at / FOUND).exists():
            show(at, Findings.load(at / FOUND), 0.0)
            return
        self._stage("curate", at / "corpus", self._curate)
        self._stage("tokenize", at / "tokenizer", self._tokenize)
        self._stage("pack", at / "rows", self._pack)
        self._stage("train", None, self._train)
        self._stage("evaluate", None, self._evaluate)
        self._stage("export", None, self._export)
        found = self._findings()
        write_page(at, found)
        found.save(at / FOUND)
        show(at, found, time.monotonic() - started)

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
