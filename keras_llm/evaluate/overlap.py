"""BLEU, chrF and TER: how much of a reference a text has, by sacrebleu."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_llm.errors import InputError, check_choice
from keras_llm.evaluate.references import reference_lists
from keras_llm.evaluate.statistics import Interval
from keras_llm.records import Record

RESAMPLES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap(Record):
    """A score of sacrebleu, with what is needed to compare it.

    Attributes:
        name: As papers write it, for example "chrF2++".
        score: Of all texts together, in percent as sacrebleu's.
        signature: Sacrebleu's: scores of other signatures do not compare.
        interval: 95 % by bootstrap, around the bootstrap's mean; None where
            none was asked for.

    Example:

    >>> Overlap(name="BLEU", score=31.2, signature="nrefs:1").interval is None
    True
    """

    name: str
    score: float
    signature: str
    interval: Interval | None = None


def bleu(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
    resamples: int = RESAMPLES,
) -> Overlap:
    """Returns BLEU: n-grams of the texts that are in their references.

    Args:
        predictions: The texts, as people would read them: not tokenized.
        references: One for each, or several.
        tokenize: "13a" (languages with spaces), "zh", "char", "intl",
            "none", or what else the installed sacrebleu has.
        lowercase: Whether case is ignored.
        resamples: Of the bootstrap; 0 or 1 draws none.

    Raises:
        InputError: There are no texts or not as many references, the
            tokenizer is unknown or lacks a package, or sacrebleu is missing.

    Source: Papineni et al. 2002, https://aclanthology.org/P02-1040; Post
    2018, https://aclanthology.org/W18-6319.

    Example:

    >>> found = bleu(["a cat sat on a mat"], ["a cat sat on the mat"])
    >>> round(found.score, 1), "tok:13a" in found.signature
    (53.7, True)
    """
    metric = _metric("bleu", tokenize=tokenize, lowercase=lowercase)
    return _scored(metric, predictions, references, resamples)


def chrf(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    word_order: int = 2,
    lowercase: bool = False,
    resamples: int = RESAMPLES,
) -> Overlap:
    """Returns chrF: an F measure of characters' n-grams (and words').

    It needs no tokenizer and so suits languages without spaces.

    Args:
        predictions, references, lowercase, resamples: As for `bleu`.
        word_order: Longest n-grams of words: 2 is chrF++ (default), 0 chrF.

    Raises:
        InputError: As for `bleu`.

    Source: Popovic 2017, https://aclanthology.org/W17-4770.

    Example:

    >>> chrf(["a cat"], ["a cat"]).name
    'chrF2++'
    """
    metric = _metric("chrf", word_order=word_order, lowercase=lowercase)
    return _scored(metric, predictions, references, resamples)


def ter(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    case_sensitive: bool = False,
    resamples: int = RESAMPLES,
) -> Overlap:
    """Returns TER: edits from the texts to their references. Lower is better.

    Args:
        predictions, references, resamples: As for `bleu`.
        case_sensitive: Whether case counts.

    Raises:
        InputError: As for `bleu`.

    Source: Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25.

    Example:

    >>> ter(["a cat sat"], ["the cat sat"]).score  # one edit of three words
    33.33...
    """
    metric = _metric("ter", case_sensitive=case_sensitive)
    return _scored(metric, predictions, references, resamples)


def sentence_scores(
    kind: str,
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
) -> list[float]:
    """Returns the score of each text alone.

    Sentences are too short for BLEU's mean of four: orders of n-grams that a
    text is too short for are left out.

    Args:
        kind: "bleu", "chrf" (chrF++) or "ter".
        predictions, references: As for `bleu`.

    Raises:
        InputError: As for `bleu`, or of another kind.

    Example:

    >>> sentence_scores("ter", ["a cat", "dogs"], ["a cat", "a dog"])
    [0.0, 100.0]
    """
    check_choice("kind", kind, tuple(_ALONE))
    metric = _metric(kind, **_ALONE[kind])
    lists = reference_lists(predictions, references)
    return [
        float(metric.sentence_score(text, several).score)
        for text, several in zip(predictions, lists, strict=True)
    ]


_ALONE: dict[str, dict[str, Any]] = {
    "bleu": {"effective_order": True},
    "chrf": {"word_order": 2},
    "ter": {},
}


def sacrebleu_metrics() -> Any:
    """Returns sacrebleu's metrics.

    Raises:
        InputError: sacrebleu is missing.

    Example:

    >>> sacrebleu_metrics().BLEU().tokenizer.signature()
    '13a'
    """
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise InputError(
            "Expected the package sacrebleu for BLEU, chrF and TER. Received: "
            'none. Install it with pip install "keras_llm[eval]".'
        ) from error
    return metrics


def _metric(kind: str, **options: Any) -> Any:
    """A metric of sacrebleu, or a sentence that says what it lacks."""
    metrics = sacrebleu_metrics()
    kinds = {"bleu": metrics.BLEU, "chrf": metrics.CHRF, "ter": metrics.TER}
    if "tokenize" in options:
        known = tuple(sorted(metrics.BLEU.TOKENIZERS))
        check_choice("tokenize", options["tokenize"], known)
    try:
        return _in_floats(kinds[kind](**options))
    except (RuntimeError, OSError) as error:  # no package, or no download
        raise InputError(
            f"Expected what sacrebleu needs for {options}. Received: "
            f"{' '.join(str(error).split())}"
        ) from error


def _in_floats(metric: Any) -> Any:
    """The metric; its bootstrap fails where 0.0 meets NumPy's float32."""
    compute = metric._compute_score_from_stats

    def in_floats(stats: Any) -> Any:
        found = compute(stats)
        found.score = float(found.score)
        return found

    metric._compute_score_from_stats = in_floats
    return metric


def _scored(
    metric: Any,
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    resamples: int,
) -> Overlap:
    lists = reference_lists(predictions, references)
    most = max(map(len, lists))
    padded = [one + [None] * (most - len(one)) for one in lists]
    streams = list(map(list, zip(*padded, strict=True)))
    found = metric.corpus_score(list(predictions), streams, resamples)
    interval = None
    if resamples > 1:  # sacrebleu keeps it in these two
        mean, half = float(found._mean), float(found._ci)
        interval = Interval(mean - half, mean + half)
    return Overlap(
        name=found.name,
        score=float(found.score),
        signature=str(metric.get_signature()),
        interval=interval,
    )
