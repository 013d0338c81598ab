"""Rows of rated answers, each beside an answer to another prompt, for KTO."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.data.array_rows import ArrayRows
from keras_llm.errors import InputError
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.examples import Pair, Rating
from keras_llm.tune.pair_rows import pair_rows


def kto_rows(
    ratings: Iterable[Rating],
    tokenizer: Any,
    template: ChatTemplate | str | None,
    context_length: int,
    too_long: str = "drop",
) -> ArrayRows:
    """Returns rated answers as rows for `Preference("kto")`.

    Segment 1 of a row is the answer that is judged. Segment 2 is the same
    prompt with the next answer of the list to another prompt: from these KTO
    estimates how far the model is from its reference.

    Args:
        ratings: From `read_ratings` or `ratings_of`.
        tokenizer: As in `pair_rows`, and so are the others.
        template: A chat template.
        context_length: The most tokens of a prompt with one answer.
        too_long: What happens to those that do not fit.

    Returns:
        Rows with "label", float32 `(rows, 1)`: 1 for a good answer, 0 for a
        bad one; the good ones first.

    Raises:
        InputError: All answers are to one prompt, or as for `chat_rows`.

    Source: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306 section
    4.1 (mismatched answers of a batch); here each answer keeps its partner.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> ratings = [Rating(({"role": "user", "content": prompt},), answer, good)
    ...            for prompt, answer, good in (("a", "b", True),
    ...                                         ("c", "d", False))]
    >>> rows = kto_rows(ratings, tokenizer, "plain", context_length=8)
    >>> rows.inputs["label"].tolist(), rows.inputs["segments"][0].tolist()
    ([[1.0], [0.0]], [1, 1, 1, 1, 2, 2, 2, 2])
    """
    ratings = list(ratings)
    partners = list(_mismatched(ratings))
    parts, labels = [], []
    for good in (True, False):
        some = [
            p for p, r in zip(partners, ratings, strict=True) if r.good == good
        ]
        if some:
            made = pair_rows(
                *(some, tokenizer, template, context_length, too_long)
            )
            parts.append(made)
            labels += [[float(good)]] * len(made)
    return _one_below_another(parts).with_inputs(
        label=np.array(labels, np.float32)
    )


def _mismatched(ratings: Sequence[Rating]) -> Iterator[Pair]:
    """Each answer with the next one to another prompt."""
    count = len(ratings)
    for number, rating in enumerate(ratings):
        following = (ratings[(number + n) % count] for n in range(1, count))
        other = next(
            (
                one.answer
                for one in following
                if one.prompt != rating.prompt and one.answer != rating.answer
            ),
            None,
        )
        if other is None:
            raise InputError(
                "Expected answers to several prompts: KTO compares with "
                f"answers to other prompts. Received: none beside that of "
                f"{rating.where}. Add ratings, or tune with pairs."
            )
        yield Pair(
            rating.prompt, rating.answer, other, rating.line, rating.where
        )


def _one_below_another(parts: Sequence[ArrayRows]) -> ArrayRows:
    """Rows of several widths as rows of the widest."""
    time = max(rows.time for rows in parts)

    def padded(array: np.ndarray) -> np.ndarray:
        return np.pad(array, ((0, 0), (0, time - array.shape[1])))

    inputs = {
        name: np.concatenate([padded(rows.inputs[name]) for rows in parts])
        for name in parts[0].inputs
    }
    targets, weights = (
        np.concatenate([padded(getattr(rows, name)) for rows in parts])
        for name in ("targets", "weights")
    )
    first = parts[0]
    return ArrayRows(inputs, targets, weights, first.tokenizer, first.name)
