"""Groups of items to look for mistakes in: what items have in common."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError

SHOWN = 5  # words that show what a group is about
COVERED = 0.9  # share of all words that are not rare
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_QUESTION = re.compile(
    r"\b(how many|how much|who|whom|whose|what|when|where|which|why|how)\b"
)


class EvaluatedItem(NamedTuple):
    """One item of an evaluation, and what the model made of it.

    Attributes:
        text: What the model read, with the expected answer where there is one.
        value: What the metric says of it.
        loss: Nats of the expected answer, where known: of items with equal
            values, the one with the highest loss is the worst.
        source: Where it is from: a corpus, a domain, a task.
        label: Its expected class or answer.
        answer: What the model said.

    Example:

    >>> EvaluatedItem("What is 1 + 1? 2", 0.0, source="sums").source
    'sums'
    """

    text: str
    value: float
    loss: float | None = None
    source: str | None = None
    label: str | None = None
    answer: str | None = None


class Group(NamedTuple):
    """Items that have something in common.

    Attributes:
        trait: What kind of thing, for example "length".
        name: Which, for example "80 to 120 characters".
        members: bool `(items,)`.
        such_as: Words that show it.

    Example:

    >>> int(Group("source", "news", np.array([True, False])).members.sum())
    1
    """

    trait: str
    name: str
    members: np.ndarray
    such_as: tuple[str, ...] = ()


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, without digits and signs.

    Example:

    >>> words_of("It isn't 3 o'clock.")
    ['it', "isn't", "o'clock"]
    """
    return _WORD.findall(text.lower())


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Returns how often each word is in the texts, a corpus for example.

    Example:

    >>> count_words(["A rose is", "a rose"])["rose"]
    2
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text))
    return counts


def item_groups(
    items: Sequence[EvaluatedItem], word_counts: Mapping[str, int] | None = None
) -> list[Group]:
    """Returns the groups that every item has a place in.

    By length (quarters of the items, in characters), by the share of rare
    words (quarters), by source and by label where the items have them, and by
    the first question word of the last question (English) where any has one.
    A trait that all items share gives no group.

    Args:
        items: The items.
        word_counts: How often each word is in what the model was trained on
            (`count_words`). Default: in the items themselves. A word is rare
            when it is not one of the frequent ones that make up 90 % of them.

    Example:

    >>> items = [EvaluatedItem("a rose", 1.0, label="flower"),
    ...     EvaluatedItem("a daisy in the sun", 0.0, label="flower")]
    >>> [group.name for group in item_groups(items) if group.trait == "length"]
    ['6 characters', '18 characters']
    """
    texts = [item.text for item in items]
    asked = [question_word(text) for text in texts]
    groups = [
        *_quarters("length", [len(text) for text in texts], "{} characters"),
        *_rare_groups(texts, word_counts),
        *_named("source", [item.source for item in items]),
        *_named("label", [item.label for item in items]),
    ]
    if any(asked):
        groups += _named("question word", [word or "none" for word in asked])
    return groups


def embedding_groups(
    items: Sequence[EvaluatedItem],
    embed: Callable[[Sequence[str]], np.ndarray],
    clusters: int = 8,
    seed: int = 0,
) -> list[Group]:
    """Returns groups of items whose texts mean about the same, by k-means.

    Each is called by the words that more of its texts have than of the
    others.

    Args:
        items: The items.
        embed: From texts to `(texts, size)`, for example `lm.embed`.
        clusters: How many groups.
        seed: Of the first centres.

    Raises:
        InputError: There are fewer items than groups, or scikit-learn is
            missing.

    Source: scikit-learn's `KMeans`.

    Example:

    >>> items = [EvaluatedItem(text, 1.0) for text in ("cat", "cat", "dog")]
    >>> groups = embedding_groups(items, lambda texts: np.array(
    ...     [[float(text == "cat")] for text in texts]), clusters=2)
    >>> sorted(group.name for group in groups)
    ['cat', 'dog']
    """
    if not 1 < clusters <= len(items):
        raise InputError(
            "Expected at least two clusters, and not more than items. "
            f"Received: {clusters} for {len(items)} items."
        )
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise InputError(
            "Expected scikit-learn to cluster embeddings. Received: it is not "
            'installed. Install it with pip install "keras_llm[eval]".'
        ) from error
    texts = [item.text for item in items]
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(
        np.asarray(embed(texts), "float64")
    )
    words = [words_of(text) for text in texts]
    masks = [found == cluster for cluster in range(clusters)]
    return [
        Group("meaning", ", ".join(_typical_words(words, mask)), mask)
        for mask in masks
    ]


def question_word(text: str) -> str | None:
    """Returns the first question word of the last question, if there is one.

    Example:

    >>> question_word("He asked why. How many are left? Three.")
    'how many'
    """
    questions = re.findall(r"[^.!?\n]*\?", text.lower())
    found = _QUESTION.search(questions[-1]) if questions else None
    return found[0] if found else None


def rare_words(counts: Mapping[str, int]) -> Callable[[str], bool]:
    """Returns a test of a word: is it none of the frequent ones?

    The frequent words are the fewest that make up 90 % of all; words as
    frequent as the last of them are frequent too.

    Example:

    >>> is_rare = rare_words({"the": 90, "rose": 5, "thorn": 5})
    >>> [word for word in ("the", "rose", "unseen") if is_rare(word)]
    ['rose', 'unseen']
    """
    ordered = np.sort(np.fromiter(counts.values(), "int64"))[::-1]
    reached = np.searchsorted(ordered.cumsum(), COVERED * ordered.sum())
    least = int(ordered[reached]) if len(ordered) else 1
    return lambda word: counts.get(word, 0) < least


def _rare_groups(
    texts: Sequence[str], word_counts: Mapping[str, int] | None
) -> list[Group]:
    counts = count_words(texts) if word_counts is None else word_counts
    is_rare, words = rare_words(counts), [words_of(text) for text in texts]
    shares = [
        round(100 * sum(map(is_rare, one)) / max(1, len(one))) for one in words
    ]
    return [
        group._replace(such_as=_typical_words(words, group.members, is_rare))
        for group in _quarters("rare words", shares, "{} % of the words")
    ]


def _quarters(trait: str, values: Sequence[int], name: str) -> list[Group]:
    """Up to four groups of about equal size; equal values stay together."""
    numbers = np.asarray(values)
    if not len(numbers):
        return []
    edges = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75], method="lower"))
    places = np.searchsorted(edges, numbers)
    masks = [places == place for place in np.unique(places)]
    return [
        Group(trait, name.format(_span(numbers[mask])), mask)
        for mask in masks
        if len(masks) > 1
    ]


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _named(trait: str, names: Sequence[str | None]) -> list[Group]:
    known = sorted({name for name in names if name is not None})
    return [
        Group(trait, name, np.array([one == name for one in names]))
        for name in known
        if len(known) > 1
    ]


def _typical_words(
    words: Sequence[list[str]],
    mask: np.ndarray,
    wanted: Callable[[str], bool] = bool,
) -> tuple[str, ...]:
    """Words that more of the masked texts have than of the others."""
    shares = {}
    for chosen in (True, False):
        texts = [
            set(one)
            for one, inside in zip(words, mask, strict=True)
            if inside == chosen
        ]
        counts = Counter(word for one in texts for word in one if wanted(word))
        shares[chosen] = {w: n / len(texts) for w, n in counts.items()}

    def lead(word: str) -> float:
        return shares[True][word] - shares[False].get(word, 0.0)

    ordered = sorted(shares[True], key=lambda word: (-lead(word), word))
    return tuple(ordered[:SHOWN])
