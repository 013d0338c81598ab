"""The parts of an evaluation that a command line asks for."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

HELD_OUT = "heldout"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be measured; see the options of the same names."""

    corpus: Path | None = None
    calibration: bool = False
    tasks: tuple[str, ...] = ()
    data: str | None = None
    limit: float | None = None
    few_shot: int | None = None
    chat: bool = False
    allow_code: bool = False
    training: Path | None = None
    cache: Path | None = None
    bias: bool = False
    crows_pairs: Path | None = None
    bbq: Path | None = None
    swaps: Path | None = None
    toxicity: Path | None = None
    block_list: Path | None = None
    refusals: Path | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuses what can be refused before a model is loaded.

        Raises:
            InputError: A file is missing, a task is unknown, or an option
                misses the one that it belongs to.
        """
        for name in ("crows_pairs", "bbq", "swaps", "toxicity", "refusals"):
            _check_file(name, getattr(self, name))
        _needs("--calibration", self.calibration, "--corpus", self.corpus)
        _needs("--block-list", self.block_list, "--toxicity", self.toxicity)
        _needs("--training", self.training, "--tasks", self.tasks)
        if self.tasks:
            from keras_llm.evaluate.harness.task_files import select_tasks

            select_tasks(self.tasks)

    def findings(self, subject: Any) -> Iterator[Any]:
        """Yields what is found of a model, part by part.

        Raises:
            InputError: The model, or a file, does not fit what was asked for.
        """
        for part in (_language, _benchmarks, *_FAIRNESS):
            yield from part(self, subject)


def _language(wanted: Wanted, subject: Any) -> Iterator[Any]:
    if wanted.corpus is None:
        return
    from keras_llm import evaluate
    from keras_llm.data import read_corpus

    lm = getattr(subject, "lm", None)
    documents = list(read_corpus(wanted.corpus, "heldout"))
    yield evaluate.language_report(
        lm or subject, documents, HELD_OUT, seed=wanted.seed
    )
    texts = [document.text for document in documents]
    words = lm.tokenizer if lm else None
    yield evaluate.yardsticks(texts, words, HELD_OUT)
    if wanted.calibration:
        if lm is None:
            raise InputError(
                "Expected a model of keras_llm for --calibration, which needs "
                f"the whole distribution of each token. Received: "
                f"{subject.name}. Leave --calibration out."
            )
        yield evaluate.next_token_calibration(lm, texts, seed=wanted.seed)


def _benchmarks(wanted: Wanted, subject: Any) -> Iterator[Any]:
    if not wanted.tasks:
        return
    from keras_llm import evaluate

    yield evaluate.evaluate_tasks(
        subject,
        wanted.tasks,
        data=wanted.data,
        limit=wanted.limit,
        num_fewshot=wanted.few_shot,
        apply_chat_template=wanted.chat,
        allow_code=wanted.allow_code,
        cache=wanted.cache,
        seed=wanted.seed,
    )


def _pairs(wanted: Wanted, subject: Any) -> Iterator[Any]:
    from keras_llm.evaluate import bbq, crows_pairs

    if wanted.crows_pairs is not None:
        yield crows_pairs(subject, wanted.crows_pairs)
    if wanted.bbq is not None:
        yield bbq(subject, wanted.bbq, seed=wanted.seed)


def _groups(wanted: Wanted, subject: Any) -> Iterator[Any]:
    from keras_llm.evaluate import counterfactual, template_gaps

    if wanted.bias:
        yield template_gaps(subject, seed=wanted.seed)
    if wanted.swaps is not None:
        lines = wanted.swaps.read_text(encoding="utf-8").splitlines()
        texts = [line for line in lines if line.strip()]
        yield counterfactual(subject, texts, seed=wanted.seed)


def _safety(wanted: Wanted, subject: Any) -> Iterator[Any]:
    from keras_llm.data.block_list import BlockList
    from keras_llm.evaluate import refusals, toxicity

    if wanted.toxicity is not None:
        path = wanted.block_list
        scorer = BlockList.load(path) if path else None
        yield toxicity(subject, wanted.toxicity, scorer, seed=wanted.seed)
    if wanted.refusals is not None:
        yield refusals(subject, wanted.refusals)


_FAIRNESS: tuple[Callable[[Wanted, Any], Iterator[Any]], ...] = (
    _pairs,
    _groups,
    _safety,
)


def _check_file(name: str, path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise InputError(
            f"Expected a file for --{name.replace('_', '-')}. Received: "
            f"{path}, which is none."
        )


def _needs(option: str, given: Any, other: str, there: Any) -> None:
    if given and not there:
        raise InputError(
            f"Expected {other} with {option}. Received: {option} alone."
        )
