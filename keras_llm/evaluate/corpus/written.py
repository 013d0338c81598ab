"""write_description: a folder with report, datasheet and Croissant."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras_llm
from keras_llm.data.curate import REPORT, TRAIN, read_corpus
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader, read_documents
from keras_llm.errors import InputError
from keras_llm.evaluate.bias.corpus import CorpusBiasReport, corpus_bias
from keras_llm.evaluate.corpus.answers import (
    Answers,
    answers_template,
    load_answers,
)
from keras_llm.evaluate.corpus.balance import balance_warnings
from keras_llm.evaluate.corpus.describing import (
    describe_corpus,
    without_folder,
)
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.funnel import CurationFunnel, read_funnel
from keras_llm.evaluate.corpus.json_ld import croissant
from keras_llm.evaluate.corpus.sheet import datasheet, open_questions
from keras_llm.evaluate.corpus.tally import source_of
from keras_llm.evaluate.finding import Finding
from keras_llm.evaluate.provenance import fingerprint_of
from keras_llm.evaluate.reports import check_report_folder, write_report
from keras_llm.files import (
    check_new_folder,
    holds_only,
    read_json,
    sha256_of,
    write_text,
)

PAGES, SHEET, MACHINES = "report", "DATASHEET.md", "croissant.json"
ANSWERS, COUNTED = "answers.yaml", "counted.json"
_IS_OURS = holds_only((PAGES, SHEET, MACHINES, ANSWERS, COUNTED))


@dataclasses.dataclass(frozen=True)
class WrittenDescription:
    """What `write_description` wrote.

    Attributes:
        folder: Where it is.
        description: What the corpus is made of.
        warnings: What is out of balance.
        open_questions: Keys of the datasheet's questions without an answer.

    Example:

    >>> from keras_llm.data import Document
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> WrittenDescription(Path("out"), found, [], ["purpose"]).datasheet
    PosixPath('out/DATASHEET.md')
    """

    folder: Path
    description: CorpusDescription
    warnings: list[str]
    open_questions: list[str]

    @property
    def html(self) -> Path:
        """Returns the report, one file that needs no other."""
        return self.folder / PAGES / "report.html"

    @property
    def datasheet(self) -> Path:
        """Returns the datasheet."""
        return self.folder / SHEET

    @property
    def answers(self) -> Path:
        """Returns the file of answers to fill in."""
        return self.folder / ANSWERS


def write_description(
    corpus: str | os.PathLike,
    output: str | os.PathLike,
    tokenizer: Any = None,
    identify: bool = True,
    mentions: bool = True,
    sample_bytes: int = 1 << 24,
    seed: int = 0,
) -> WrittenDescription:
    """Describes a corpus: a report, a datasheet, Croissant metadata.

    The folder gets `report/` (see `write_report`), `DATASHEET.md`,
    `answers.yaml` with the open questions of the datasheet, which is read at
    the next call and never overwritten, `croissant.json` if `curate` wrote
    the corpus, and `counted.json`: if corpus and settings are the same next
    time, nothing is counted again.

    Args:
        corpus: A folder that `curate` wrote, of which the training side is
            described; or any files that `read_documents` takes.
        output: The folder to write.
        tokenizer: Counts tokens; see `describe_corpus`. Its `fingerprint` is
            written down.
        identify: As for `describe_corpus`.
        mentions: Whether it is counted who is mentioned; see `corpus_bias`.
        sample_bytes, seed: As for `describe_corpus`.

    Raises:
        InputError: The corpus is missing, empty, or not as `curate` wrote
            it, `output` holds other files, the answers have an unknown key,
            or a package is missing.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("A rose is a rose.")
    >>> done = write_description(folder / "a.txt", folder / "out",
    ...     identify=False)
    >>> sorted(one.name for one in done.folder.iterdir())
    ['DATASHEET.md', 'answers.yaml', 'counted.json', 'report']
    """
    corpus, output = Path(corpus), Path(output)
    if not corpus.exists():
        raise InputError(
            "Expected a folder written by curate, or files with text. "
            f"Received: {corpus}, which is not there. Run curate first."
        )
    check_new_folder(output, _IS_OURS)
    check_report_folder(output / PAGES)
    answers = Answers()
    if (output / ANSWERS).exists():
        answers = load_answers(output / ANSWERS)
    curated = (corpus / REPORT).is_file()
    funnel = read_funnel(corpus) if curated else None
    if funnel:
        _check_hash(corpus / TRAIN, funnel.train["sha256"])
    settings = {
        "corpus": funnel.train["sha256"] if funnel else fingerprint_of(corpus),
        "tokenizer": getattr(tokenizer, "fingerprint", None),
        "identify": identify,
        "mentions": mentions,
        "sample_bytes": sample_bytes,
        "seed": seed,
        "keras_llm": keras_llm.__version__,
    }
    counted = _known(output / COUNTED, settings)
    if counted is None:
        found = describe_corpus(
            _documents(corpus, curated), tokenizer, identify, sample_bytes, seed
        )
        spoken = _mentions(_documents(corpus, curated)) if mentions else None
        counted = found, spoken
        _keep(output / COUNTED, settings, found, spoken)
    description, spoken = counted
    _write(corpus, output, description, funnel, spoken, answers, settings)
    return WrittenDescription(
        output,
        description,
        balance_warnings(description),
        open_questions(description, funnel, answers),
    )


def _check_hash(path: Path, recorded: str) -> None:
    """A datasheet must not vouch for a file that was changed since."""
    found = sha256_of(path)
    if found != recorded:
        raise InputError(
            f"Expected {path} as curate wrote it, with the SHA-256 "
            f"{recorded[:16]}.... Received: {found[:16]}..., so it was changed "
            "since. Run curate again, or describe the file alone."
        )


def _documents(corpus: Path, curated: bool) -> Reader:
    return read_corpus(corpus) if curated else read_documents(corpus)


def _mentions(documents: Iterable[Document]) -> CorpusBiasReport:
    """Who is mentioned, with sources named as in the description."""
    found = corpus_bias(
        dataclasses.replace(one, source=source_of(one)) for one in documents
    )
    names = without_folder([row["source"] for row in found.sources])
    sources = [
        {**row, "source": name}
        for row, name in zip(found.sources, names, strict=True)
    ]
    return dataclasses.replace(found, sources=sources)


def _known(
    path: Path, settings: dict[str, Any]
) -> tuple[CorpusDescription, CorpusBiasReport | None] | None:
    """What was counted before, if it was of the same in the same way."""
    kept = read_json(path) if path.is_file() else {}
    if kept.get("settings") != settings:
        return None
    spoken = kept["mentions"]
    return (
        CorpusDescription.from_dict(kept["description"]),
        CorpusBiasReport(**spoken) if spoken else None,
    )


def _keep(
    path: Path,
    settings: dict[str, Any],
    found: CorpusDescription,
    spoken: CorpusBiasReport | None,
) -> None:
    values = {
        "settings": settings,
        "description": found.to_dict(),
        "mentions": spoken.to_dict() if spoken else None,
    }
    write_text(path, json.dumps(values) + "\n")


def _write(
    corpus: Path,
    output: Path,
    description: CorpusDescription,
    funnel: CurationFunnel | None,
    spoken: CorpusBiasReport | None,
    answers: Answers,
    settings: dict[str, Any],
) -> None:
    name = answers.dataset.get("name", corpus.name)
    parts: list[Finding | None] = [description, funnel, spoken]
    sources = {
        key: settings[key] for key in ("corpus", "tokenizer") if settings[key]
    }
    write_report(
        output / PAGES,
        [part for part in parts if part is not None],
        f"Description of {name}",
        answers.dataset.get("description", ""),
        settings["seed"],
        sources,
    )
    page = datasheet(description, funnel, answers, name)
    write_text(output / SHEET, page)
    if funnel is not None:
        where = Path(os.path.relpath(corpus, output)).as_posix()
        facts = croissant(description, funnel, answers, name, where)
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        write_text(output / MACHINES, text + "\n")
    if not (output / ANSWERS).exists():
        write_text(output / ANSWERS, answers_template(name))
