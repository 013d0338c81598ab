"""synthesize: ask, read, filter, write, with every drop accounted."""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_llm.compare.judge_log import JudgeLog
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document, json_line
from keras_llm.data.rights import document_hash
from keras_llm.errors import InputError
from keras_llm.files import atomic_path, read_json, sha256_of, write_text
from keras_llm.synthesize.asked import Model
from keras_llm.synthesize.examples import record_of
from keras_llm.synthesize.filters import example_steps, through
from keras_llm.synthesize.generator import Generator, Usage
from keras_llm.synthesize.of_conversations import Reflect
from keras_llm.synthesize.prompts import prompt_hash
from keras_llm.synthesize.reading import checked_items
from keras_llm.synthesize.settings import DEFAULTS, SynthesisSettings
from keras_llm.synthesize.tasks import Models, Task

EXAMPLES, REJECTS, REPORT, ANSWERS = (
    *("examples.jsonl", "rejects.jsonl"),
    *("synthesize.json", "answers.jsonl"),
)
FORMAT, VERSION = "keras_llm synthesis", 1


@dataclasses.dataclass(frozen=True)
class SynthesisReport:
    """What was made of what.

    Attributes:
        folder: Where it is.
        task: The task's name.
        models: Names of the generator, the judge and the other generator.
        prompt: `prompt_hash` of the task's prompts.
        steps: Counts of making the examples and of each step after it.
        examples: How many are left.
        sha256: Of `examples.jsonl`.
        usage: What was asked in all, by all models together.
        settings: How.

    Example:

    >>> report = SynthesisReport(
    ...     Path("out"), "rephrase", {"generator": "gemma"}, "5d80", [], 9,
    ...     "91ab", Usage(10, 2_000_000, 500_000),
    ...     SynthesisSettings(price_in=1.0, price_out=2.0),
    ... )
    >>> report.cost
    3.0
    """

    folder: Path
    task: str
    models: dict[str, str]
    prompt: str
    steps: list[Counts]
    examples: int
    sha256: str
    usage: Usage
    settings: SynthesisSettings

    @property
    def cost(self) -> float:
        """Returns what was paid, in the currency of the prices."""
        prices = self.settings.price_in, self.settings.price_out
        return self.usage.cost(*prices)

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `synthesize.json`."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task,
            "models": self.models,
            "prompt": self.prompt,
            "steps": [counts.to_dict() for counts in self.steps],
            "examples": self.examples,
            "sha256": self.sha256,
            "usage": {**dataclasses.asdict(self.usage), "cost": self.cost},
            "settings": self.settings.to_dict(),
        }


def synthesize(
    task: Task,
    items: Iterable[Document],
    model: Model,
    out_folder: str | os.PathLike,
    settings: SynthesisSettings = DEFAULTS,
    judge: Model | None = None,
    other: Model | None = None,
) -> SynthesisReport:
    """Has a model make examples of documents, and keeps the good ones.

    The folder holds `examples.jsonl`, in the form that `keras-llm finetune`
    reads (chat, prefer or text by the task), each line with where it came
    from; `rejects.jsonl` with the reason of each drop; `synthesize.json`, the
    report; and `answers.jsonl`, every answer, written as it comes. A run that
    was killed goes on from there and asks nothing twice, as does one with
    other filters. The same answers give the same files.

    All answers are held in memory.

    Args:
        task: `FromDocuments`, `Rephrase`, `SelfInstruct`, `Reflect`,
            `Preferences`, or your own `Task`.
        items: What it is about. Reflection wants what `instructions_of`
            reads.
        model: Who writes; see `Generator`.
        out_folder: The folder; an earlier result of this function there goes
            on, any other content is refused.
        settings: How.
        judge: Who judges, where the task has a judge. Default: `model`, which
            likes its own answers more than others do.
        other: Who writes the second answer of a pair. Default: `model`.

    Raises:
        InputError: There is no item or nothing is left, a model cannot be
            asked, or the folder holds something else.

    Example:

    >>> import tempfile
    >>> from keras_llm.synthesize import FromDocuments
    >>> folder = Path(tempfile.mkdtemp()) / "made"
    >>> def model(question):
    ...     return '[{"instruction": "What is a rose?", ' + (
    ...         '"response": "A rose is a flower of many petals."}]')
    >>> report = synthesize(
    ...     FromDocuments(), [Document("Of roses.", "a.txt")], model, folder)
    >>> report.examples, (folder / "examples.jsonl").exists()
    (1, True)
    """
    folder = Path(out_folder)
    check_folder(folder)
    chosen = checked_items(items, isinstance(task, Reflect))
    chosen = chosen[: None if task.seeds else settings.limit]
    log = JudgeLog(folder / ANSWERS)
    models = _opened(model, judge, other, settings, log)
    folder.mkdir(parents=True, exist_ok=True)
    rejected: list[dict[str, Any]] = []

    def reject(document: Document, step: str, reason: str) -> None:
        record = {"step": step, "reason": reason, **document.to_dict()}
        rejected.append(record)

    first = Counts(task.name, rejects=reject)
    made, origins = _made(task, models, chosen, settings, first)
    steps = example_steps(
        settings, task.minimum, task.answer, origins, task.copies
    )
    left, counts = through(made, steps, reject)
    _write(folder / REJECTS, rejected)
    if not left:
        raise InputError(_nothing([first, *counts], folder))
    _write(folder / EXAMPLES, [record_of(task.form, one) for one in left])
    report = SynthesisReport(
        folder=folder,
        task=task.name,
        models={k: one.name for k, one in models._asdict().items()},
        prompt=prompt_hash(*task.templates()),
        steps=[first, *counts],
        examples=len(left),
        sha256=sha256_of(folder / EXAMPLES),
        usage=_all_usage(models),
        settings=settings,
    )
    text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    write_text(folder / REPORT, text + "\n")
    return report


def check_folder(folder: Path) -> None:
    """Refuses a folder that holds something else than a synthesis.

    Raises:
        InputError: It does, or it is a file.

    Example:

    >>> check_folder(Path("nowhere"))
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"Expected a folder to write to. Received: the file {folder}. "
            "Name another one."
        )
    known = {EXAMPLES, REJECTS, REPORT, ANSWERS}
    held = (
        {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    )
    ours = REPORT not in held or (
        read_json(folder / REPORT).get("format") == FORMAT
    )
    if not ours or held - known:
        raise InputError(
            "Expected a new folder, or one of an earlier synthesis that goes "
            f"on. Received: {folder}, which holds "
            f"{', '.join(sorted(held - known)[:5]) or REPORT}. Name another "
            "folder."
        )


def _opened(
    model: Model,
    judge: Model | None,
    other: Model | None,
    settings: SynthesisSettings,
    log: JudgeLog,
) -> Models:
    """The generators; what is the same model is opened once."""
    generator = Generator(model, settings, log)

    def second(given: Model | None) -> Generator:
        same = given is None or isinstance(given, str) and given == model
        return generator if same else Generator(given, settings, log)

    return Models(generator, second(judge), second(other))


def _made(
    task: Task,
    models: Models,
    items: Sequence[Document],
    settings: SynthesisSettings,
    counts: Counts,
) -> tuple[list[Document], dict[str, str]]:
    """Examples as documents, and what they were made from by its hash."""
    for item in items:
        counts.saw(item.text)
    about = {
        "task": task.name,
        "model": models.generator.name,
        "prompt": prompt_hash(*task.templates()),
    }
    made, origins = [], {}
    for example in task.examples(models, items, settings, counts):
        origins[document_hash(example.origin.text)] = example.origin.text
        told = {**about, **example.about}
        made.append(dataclasses.replace(example, about=told).document())
        counts.kept(made[-1].text)
    counts.settings = {"prompts": list(task.templates())}
    return made, origins


def _all_usage(models: Models) -> Usage:
    total = Usage()
    for one in {id(model): model for model in models}.values():
        for field in dataclasses.fields(Usage):
            both = getattr(total, field.name) + getattr(one.usage, field.name)
            setattr(total, field.name, both)
    return total


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(map(json_line, records))


def _nothing(counts: Sequence[Counts], folder: Path) -> str:
    reasons = ". ".join(one.reasons() for one in counts if one.dropped)
    return (
        "Expected at least one good example. Received: none "
        f"({reasons or 'the model made nothing'}). Look at "
        f"{folder / REJECTS}, and ask in other words, or another model."
    )
