"""What becomes of examples: steps of curation, and two of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.duplicates.decontamination import decontaminate
from keras_llm.data.duplicates.exact import exact_duplicates
from keras_llm.data.duplicates.near import near_duplicates
from keras_llm.data.duplicates.shingle_sets import ShingleSets, jaccard
from keras_llm.data.personal import privacy
from keras_llm.data.quality.language_id import language
from keras_llm.data.steps import Step, minimum_length, repair
from keras_llm.synthesize.examples import fields_of
from keras_llm.synthesize.prompts import REFUSALS
from keras_llm.synthesize.settings import SynthesisSettings

BEGIN = 120  # characters in which a refusal shows
WORDS, ALIKE = 5, 0.7  # n-grams, and how many of them a copy shares


def example_steps(
    settings: SynthesisSettings,
    minimum: int,
    answer: int,
    origins: Mapping[str, str],
    copies: bool,
) -> list[Step]:
    """Returns the steps that examples go through, in order.

    Args:
        settings: Which steps, and how.
        minimum: Fewest characters, where the settings do not say.
        answer: Which field is the model's answer.
        origins: What examples were made from, by its hash.
        copies: Whether answers that copy what they were made from go.

    Raises:
        InputError: A benchmark cannot be read, or a package is missing.

    Example:

    >>> steps = example_steps(SynthesisSettings(), 20, 1, {}, True)
    >>> [step.name for step in steps][:4]
    ['repair', 'minimum_length', 'refusals', 'copies']
    """
    least = settings.minimum_length
    near = settings.near_duplicates
    files = {name: name for name in settings.benchmarks}
    return [
        repair(),
        minimum_length(minimum if least is None else least),
        refusals(answer),
        *([copies_of(origins, answer)] if copies else []),
        *([same_language(origins, answer)] if settings.same_language else []),
        exact_duplicates(),
        *([near_duplicates(near)] if near is not None else []),
        *([decontaminate(files)] if files else []),
        *([privacy()] if settings.privacy else []),
    ]


def refusals(answer: int, phrases: tuple[str, ...] = REFUSALS) -> Step:
    """Drops examples whose answer begins as a refusal.

    Args:
        answer: Which field is the answer.
        phrases: In lower case, with straight apostrophes.

    Example:

    >>> step = refusals(0)
    >>> counts = Counts("refusals")
    >>> list(step([Document("Sorry. As an AI, I cannot.", "a")], counts))
    []
    >>> dict(counts.dropped)
    {'refusal': 1}
    """

    def why(document: Document) -> str:
        begin = fields_of(document)[answer][:BEGIN].casefold()
        begin = begin.replace("\u2019", "'")
        return "refusal" * any(phrase in begin for phrase in phrases)

    return _dropping("refusals", why, {"phrases": list(phrases)})


def copies_of(
    origins: Mapping[str, str], answer: int, alike: float = ALIKE
) -> Step:
    """Drops examples whose answer is most of what it was made from.

    Args:
        origins: Texts by their hash, the metadata's "source_hash".
        answer: Which field is the answer.
        alike: Jaccard index of five-word n-grams from which it is a copy. A
            quotation from a long text is none.

    Example:

    >>> text = "it was the best of times it was the worst of times"
    >>> made = Document(text.upper(), "a", metadata={"source_hash": "1"})
    >>> counts = Counts("copies")
    >>> list(copies_of({"1": text}, 0)([made], counts)), dict(counts.dropped)
    ([], {'copy of what it was made from': 1})
    """

    def why(document: Document) -> str:
        origin = origins.get(document.metadata.get("source_hash", ""), "")
        sets = ShingleSets.of([fields_of(document)[answer], origin], WORDS)
        if not len(sets[0]) or not len(sets[1]):
            return ""
        index = float(jaccard([sets[0]], [sets[1]])[0])
        return "copy of what it was made from" if index >= alike else ""

    return _dropping("copies", why, {"jaccard": alike, "words": WORDS})


def same_language(origins: Mapping[str, str], answer: int) -> Step:
    """Drops examples whose answer is in another language than their origin.

    Texts that are too short to tell, or of no sure language, stay.

    Args:
        origins: Texts by their hash, the metadata's "source_hash".
        answer: Which field is the answer.

    Raises:
        InputError: py3langid is not installed.

    Example:

    >>> text = "Der kleine Hund schläft seit heute Morgen in der Küche."
    >>> made = Document(text, "a", metadata={"source_hash": "1"})
    >>> origins = {"1": "The little dog has slept in the kitchen all day."}
    >>> counts = Counts("same_language")
    >>> list(same_language(origins, 0)([made], counts)), dict(counts.dropped)
    ([], {'language changed from en to de': 1})
    """
    identify = language(keep=None)
    known: dict[str, str | None] = {}

    def code(text: str) -> str | None:
        found = identify([Document(text, "")], Counts("language"))
        return next((one.language for one in found), None)

    def why(document: Document) -> str:
        key = document.metadata.get("source_hash", "")
        if key not in known:
            known[key] = code(origins.get(key, ""))
        before, now = known[key], code(fields_of(document)[answer])
        if before is None or now is None or before == now:
            return ""
        return f"language changed from {before} to {now}"

    return _dropping("same_language", why, identify.settings)


def through(
    documents: Iterable[Document],
    steps: Iterable[Step],
    reject: Callable[[Document, str, str], None],
) -> tuple[list[Document], list[Counts]]:
    """Runs documents through steps.

    Returns:
        What is left, and the counts of each step.

    Example:

    >>> left, counts = through(
    ...     [Document("a", "1"), Document("a", "2")],
    ...     [exact_duplicates()],
    ...     lambda document, step, reason: print(step, reason),
    ... )
    exact_duplicates same text as an earlier document
    """
    counts: list[Counts] = []
    for step in steps:
        counts.append(Counts(step.name, rejects=reject))
        documents = step(documents, counts[-1])
    return list(documents), counts


def _dropping(
    name: str, why: Callable[[Document], str], settings: dict[str, Any]
) -> Step:
    """A step that drops the documents for which there is a reason."""

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if reason := why(document):
                counts.drop(document, reason)
            else:
                yield document

    return Step(name, run, settings)
