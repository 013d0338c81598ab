"""Everything about a task that is settled before a model is asked."""

import dataclasses
import math
import os
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.contexts import Style
from keras_llm.evaluate.harness.documents import documents
from keras_llm.evaluate.harness.fewshot import Sampler
from keras_llm.evaluate.harness.filters import Step, pipelines
from keras_llm.evaluate.harness.items import Item, build_items
from keras_llm.evaluate.harness.metric_uses import (
    MetricUse,
    check_uses,
    metric_uses,
)
from keras_llm.evaluate.harness.prepare import prepared
from keras_llm.evaluate.harness.task import ROLLING, Task


@dataclasses.dataclass(frozen=True)
class Settings:
    """What holds for all tasks of an evaluation.

    Attributes:
        data: Where documents are, as for `documents`.
        limit: Documents of each task: a number, or below 1 a share.
        num_fewshot: Solved examples, where the task doesn't say 0.
        seed: Of all drawing.
        style: How prompts are written.
        allow_code: Whether generated programs may be run.

    Raises:
        InputError: `limit` or `num_fewshot` is out of range.

    Example:

    >>> Settings(limit=0.5).documents(9)
    5
    """

    data: str | os.PathLike | None = None
    limit: float | None = None
    num_fewshot: int | None = None
    seed: int = 0
    style: Style = dataclasses.field(default_factory=Style)
    allow_code: bool = False

    def __post_init__(self) -> None:
        limit, shots = self.limit, self.num_fewshot
        if limit is not None and (limit <= 0 or (limit > 1 and limit % 1)):
            raise InputError(
                "Expected limit to be a number of documents, or a share "
                f"between 0 and 1. Received: {limit!r}."
            )
        if shots is not None and shots < 0:
            raise InputError(
                f"Expected num_fewshot to be at least 0. Received: {shots}."
            )

    def documents(self, count: int) -> int:
        """Returns how many of so many documents are evaluated."""
        if self.limit is None:
            return count
        if self.limit < 1:
            return math.ceil(count * self.limit)
        return min(count, int(self.limit))


@dataclasses.dataclass(frozen=True)
class Plan:
    """A task, ready to be asked.

    Attributes:
        task: As it is run: with the number of solved examples.
        uses: Its metrics.
        chains: Its filters.
        items: Its documents and requests.
        size: Documents in the split.

    Example:

    >>> Plan(Task(task="a"), [], {}, [], 0).size
    0
    """

    task: Task
    uses: list[MetricUse]
    chains: dict[str, list[Step]]
    items: list[Item]
    size: int


def make_plan(task: Task, settings: Settings) -> Plan:
    """Reads a task's documents and checks all that can be checked.

    Args:
        task: The task.
        settings: What holds for all tasks.

    Raises:
        InputError: Something about the task, its files or its documents is
            wrong; the task and the document are named.

    Example:

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "test.jsonl").write_text('{"q": "1+1=", "a": "2"}')
    >>> task = Task(task="sums", test_split="test", doc_to_text="q",
    ...     doc_to_target="a")
    >>> make_plan(task, Settings(folder)).items[0].golds
    ['2']
    """
    uses = metric_uses(task, settings.allow_code)
    chains = pipelines(task)
    task = dataclasses.replace(task, num_fewshot=_shots(task, settings))
    docs = _read(task, task.eval_split, task.process_docs, settings)
    taken = list(enumerate(docs))[: settings.documents(len(docs))]
    items = build_items(
        task,
        taken,
        _sampler(task, settings),
        settings.style,
        settings.seed,
        any(use.name == "acc_mutual_info" for use in uses),
    )
    check_uses(uses, chains, task, items)
    return Plan(task, uses, chains, items, len(docs))


def _shots(task: Task, settings: Settings) -> int:
    """As in the harness: a task that says 0 keeps it."""
    if task.output_type == ROLLING or task.num_fewshot == 0:
        return 0
    asked = settings.num_fewshot
    return (task.num_fewshot or 0) if asked is None else asked


def _sampler(task: Task, settings: Settings) -> Sampler:
    count = task.num_fewshot or 0
    first = task.fewshot.sampler == "first_n"
    pool = _pool(task, settings) if count else []
    return Sampler(pool, count, first, settings.seed, f"task {task.task}")


def _pool(task: Task, settings: Settings) -> list[dict[str, Any]]:
    """Solved examples; without a split for them as the harness finds them."""
    fewshot = task.fewshot
    if fewshot.split is None and fewshot.samples is not None:
        return fewshot.samples
    split = fewshot.split or task.training_split or task.validation_split
    if split is None:
        raise InputError(
            f"Expected fewshot_split in task {task.task}, for "
            f"{task.num_fewshot} solved examples. Received: only the test "
            "split, from which a document could be its own example. Name "
            f"fewshot_split: {task.test_split}, and it is left out."
        )
    return _read(task, split, fewshot.process_docs, settings)


def _read(
    task: Task, split: str, prepare: str | None, settings: Settings
) -> list[dict[str, Any]]:
    where = f"task {task.task}, split {split}"
    docs = prepared(documents(task, split, settings.data), prepare, where)
    if not docs:
        raise InputError(
            f"Expected at least one document in {where}. Received: none that "
            f"{prepare} keeps."
        )
    return docs
