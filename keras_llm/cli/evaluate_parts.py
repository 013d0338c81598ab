"""The parts of an evaluation that a command line asks for."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

HELD_OUT = "heldout"
SAMPLES, SAMPLE_TOKENS = 32, 256  # what a model writes, to be looked up
ANSWER_TOKENS = 128  # enough to see whether it refuses


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
    mistakes: bool = False
    training: Path | None = None
    training_rows: Path | None = None
    cache: Path | None = None
    bias: bool = False
    crows_pairs: Path | None = None
    bbq: Path | None = None
    swaps: Path | None = None
    toxicity: Path | None = None
    block_list: Path | None = None
    classifier: str | None = None
    refusals: Path | None = None
    mentions: bool = False
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
        _needs("--mentions", self.mentions, "--corpus", self.corpus)
        _needs("--block-list", self.block_list, "--toxicity", self.toxicity)
        _needs("--classifier", self.classifier, "--toxicity", self.toxicity)
        _needs("--training", self.training, "--tasks", self.tasks)
        _needs("--mistakes", self.mistakes, "--tasks", self.tasks)
        if self.tasks:
            from keras_llm.evaluate.harness.task_files import select_tasks

            select_tasks(self.tasks)

    def findings(self, subject: Any) -> Iterator[Any]:
        """Yields what is found of a model, part by part.

        Raises:
            InputError: The model, or a file, does not fit what was asked for.
        """
        for part in _PARTS:
            yield from part(self, subject)
        if self.cache is not None:
            from keras_llm.evaluate import StoredSubject

            subject = StoredSubject(subject, self.cache)
        for part in _FAIRNESS:
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
        lm = _lm(subject, "--calibration")  # whole distributions
        yield evaluate.next_token_calibration(lm, texts, seed=wanted.seed)


def _benchmarks(wanted: Wanted, subject: Any) -> Iterator[Any]:
    if not wanted.tasks:
        return
    from keras_llm import evaluate

    found = evaluate.evaluate_tasks(
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
    yield found
    items = {
        task: found.items(name) for task, name in found.item_measures().items()
    }
    if wanted.mistakes:
        for task, name in found.item_measures().items():
            yield evaluate.find_mistakes(
                items[task],
                name.partition("/")[2],
                found.measures()[name].higher_is_better is not False,
                f"mistakes/{task}",
                subject=subject,
                seed=wanted.seed,
            )
    if wanted.training is not None:
        from keras_llm.data import read_corpus

        texts = {
            task: [one.text for one in all_] for task, all_ in items.items()
        }
        yield evaluate.contamination(texts, read_corpus(wanted.training))


def _memorized(wanted: Wanted, subject: Any) -> Iterator[Any]:
    if wanted.training_rows is None:
        return
    from keras_llm.data import open_rows
    from keras_llm.evaluate import Prompt, memorization

    lm, rows = _lm(subject, "--memorized"), open_rows(wanted.training_rows)
    most = _room(subject, SAMPLE_TOKENS)
    samples = subject.generate(
        [
            Prompt("", (), most, 1.0, wanted.seed + number)
            for number in range(SAMPLES)
        ]
    )
    yield memorization(samples, rows, lm.tokenizer)


def _lm(subject: Any, option: str) -> Any:
    """Our own model behind a subject.

    Raises:
        InputError: It is none of ours.
    """
    lm = getattr(subject, "lm", None)
    if lm is None:
        raise InputError(
            f"Expected a model of keras_llm for {option}. Received: "
            f"{subject.name}. Leave {option} out."
        )
    return lm


def _room(subject: Any, most: int) -> int:
    """New tokens that leave half of a short context to the prompt."""
    lm = getattr(subject, "lm", None)
    return min(most, lm.config.context_length // 2) if lm else most


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
    from keras_llm.evaluate import refusals, toxicity

    if wanted.toxicity is not None:
        scorer = _scorer(wanted)
        yield toxicity(subject, wanted.toxicity, scorer, seed=wanted.seed)
    if wanted.refusals is not None:
        most = _room(subject, ANSWER_TOKENS)
        yield refusals(subject, wanted.refusals, max_new_tokens=most)


def _scorer(wanted: Wanted) -> Any:
    """What says how toxic a text is; None for the default."""
    from keras_llm.data.block_list import BlockList
    from keras_llm.evaluate.bias import classifier_scorer

    if wanted.block_list:
        return BlockList.load(wanted.block_list)
    if not wanted.classifier:
        return None
    from keras_llm.classify import Classifier

    folder, _, label = wanted.classifier.rpartition("#")
    return classifier_scorer(Classifier.load(folder), label)


def _mentions(wanted: Wanted, subject: Any) -> Iterator[Any]:
    del subject
    if wanted.mentions and wanted.corpus:
        from keras_llm.data import read_corpus
        from keras_llm.evaluate import corpus_bias

        yield corpus_bias(read_corpus(wanted.corpus))


Part = Callable[[Wanted, Any], Iterator[Any]]
_PARTS: tuple[Part, ...] = (_language, _benchmarks, _memorized)
_FAIRNESS: tuple[Part, ...] = (_pairs, _groups, _safety, _mentions)


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
