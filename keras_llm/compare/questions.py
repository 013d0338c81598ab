"""What several models are asked, all the same."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.generation import generation_metrics
from keras_llm.evaluate.harness.plan import Settings, make_plan
from keras_llm.evaluate.harness.task_files import select_tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Questions:
    """What every model is asked.

    Args:
        tasks: Benchmarks, as for `evaluate_tasks`.
        data: Their documents.
        texts: Held-out texts, for bits per byte.
        prompts: Texts to be continued.
        references: What the answers should be; may be empty.
        metrics: Of the answers beside the references.
        until: Strings that end an answer.
        max_new_tokens: Most tokens of an answer.
        limit: As for `evaluate_tasks`, of texts and prompts too.
        num_fewshot: As for `evaluate_tasks`.
        chat: Whether benchmarks and prompts are asked through each model's
            own chat template.
        seed: Of all drawing.
        cache: Where answers are kept.
        progress: Whether bars are shown.

    Raises:
        InputError: There is nothing to ask, there are not as many references
            as prompts, or the limit is none.

    Example:

    >>> Questions(texts=["a rose", ""], seed=1).kept_texts
    ['a rose']
    """

    tasks: Sequence[Any] = ()
    data: str | os.PathLike | None = None
    texts: Sequence[str] = ()
    prompts: Sequence[str] = ()
    references: Sequence[str | Sequence[str]] = ()
    metrics: Sequence[str] = ("exact_match", "token_f1")
    until: tuple[str, ...] = ()
    max_new_tokens: int = 256
    limit: float | None = None
    num_fewshot: int | None = None
    chat: bool = False
    seed: int
    cache: str | os.PathLike | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if not (self.tasks or self.kept_texts or self.prompts):
            raise InputError(
                "Expected something to compare models by: tasks, texts that "
                "are not empty, or prompts. Received: none of them."
            )
        if self.references and len(self.references) != len(self.prompts):
            raise InputError(
                "Expected a reference for each prompt. Received: "
                f"{len(self.references)} references and {len(self.prompts)} "
                "prompts."
            )

    def check(self) -> None:
        """Makes sure that all can be asked, before a model is opened.

        Raises:
            InputError: A task or its documents are wrong, or a metric of
                answers is unknown.
        """
        settings = Settings(
            data=self.data,
            limit=self.limit,
            num_fewshot=self.num_fewshot,
            seed=self.seed,
        )
        for task in (
            select_tasks(self.tasks).tasks.values() if self.tasks else ()
        ):
            make_plan(task, settings)
        unknown = sorted(set(self.metrics) - set(generation_metrics()))
        if unknown:
            raise InputError(
                "Expected metrics of answers out of "
                f"{', '.join(generation_metrics())}. Received: "
                f"{', '.join(unknown)}."
            )

    @property
    def kept_texts(self) -> list[str]:
        """The texts that are read: not empty, within the limit."""
        return self._limited([text for text in self.texts if text])

    @property
    def kept_prompts(self) -> list[str]:
        """The prompts within the limit."""
        return self._limited(self.prompts)

    def _limited(self, several: Sequence[str]) -> list[str]:
        return list(
            several[: Settings(limit=self.limit).documents(len(several))]
        )
