"""The step `privacy`: personal data replaced by what it was."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from keras_llm.data.block_list import mask
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.personal import detectors as rules
from keras_llm.data.personal.detectors import KINDS
from keras_llm.data.personal.findings import Detector, Span, without_overlaps
from keras_llm.data.registry import function_at, name_of
from keras_llm.data.steps import Step
from keras_llm.errors import InputError

_AROUND = 30  # characters of context on each side in the audit sample


def privacy(
    kinds: Sequence[str] = KINDS,
    placeholders: Mapping[str, str] | None = None,
    detectors: Sequence[Detector | str] = (),
    numbered: bool = False,
    public_ips: bool = False,
    audit: int = 20,
) -> Step:
    """Replaces personal data by placeholders such as "[EMAIL]".

    E-mail addresses, account numbers (IBAN, modulo 97), card numbers (Luhn),
    national numbers (US, UK, German, French, Spanish), IP addresses,
    telephone numbers and streets with house numbers. No document is dropped.
    Names of people are not found: pass a detector of your own for them.

    The report counts the documents changed and the values found, by kind,
    and shows the first of each: the value with all but its first letters
    hidden, between the text around it, where nothing found is left.

    Args:
        kinds: What to look for; default: all of `KINDS`.
        placeholders: Kind -> what is put in its place. Default: the kind in
            capital letters and brackets, "[NATIONAL_ID]".
        detectors: Your own: each takes a text and returns its `Span`s, of
            any kind. Other processes need them as "package.module:function".
        numbered: True numbers the values of a document, "[EMAIL_2]": the
            same value has the same number.
        public_ips: True leaves private, local and reserved addresses alone.
        audit: How many findings of each kind the report shows.

    Raises:
        InputError: A kind is unknown, or a placeholder is for a kind that is
            not looked for; a detector's span lies outside the text.

    Source: the kinds and the `public_ips` of datatrove's PIIFormatter
        (https://github.com/huggingface/datatrove), with more kinds.

    Example:

    >>> counts = Counts("privacy")
    >>> text = "Ask jo@example.org or +1 (212) 555-0166."
    >>> [d.text for d in privacy()([Document(text, "a")], counts)]
    ['Ask [EMAIL] or [PHONE].']
    >>> counts.samples["email"]
    ['a: Ask [EMAIL j*@e******.o**] or [PHONE].']

    >>> def names(text):
    ...     at = text.find("Jo ")
    ...     return [Span(at, at + 2, "name")] if at >= 0 else []
    >>> counts = Counts("privacy")
    >>> own = privacy(["email"], detectors=[names], numbered=True)
    >>> [d.text for d in own([Document("Jo is jo@b.org", "a")], counts)]
    ['[NAME_1] is [EMAIL_1]']
    """
    placeholders = dict(placeholders or {})
    _check(kinds, placeholders, detectors, audit)
    own = [function_at(d) if isinstance(d, str) else d for d in detectors]
    find = partial(_spans, _chosen(kinds, public_ips), own)

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            spans = find(document.text)
            if not spans:
                yield document
                continue
            marks = _marks(document.text, spans, placeholders, numbered)
            pieces = _pieces(document.text, spans, marks)
            for kind in dict.fromkeys(span.kind for span in spans):
                counts.change(kind)
            for number, span in enumerate(spans):
                shown = counts.found[span.kind] < audit and _sample(
                    document, span, number, pieces
                )
                counts.find(span.kind, shown or "", audit)
            yield replace(document, text="".join(pieces))

    settings = {
        "kinds": list(kinds),
        "placeholders": placeholders,
        "detectors": [name_of(detector) for detector in detectors],
        "numbered": numbered,
        "public_ips": public_ips,
        "audit": audit,
    }
    return Step("privacy", run, settings)


@dataclass(frozen=True)
class _Chosen:
    """Detectors of whole texts, and of lines that have a number."""

    texts: list[Detector]
    lines: list[Detector]
    ranks: dict[str, int]


def _chosen(kinds: Sequence[str], public_ips: bool) -> _Chosen:
    """Returns the detectors of the kinds."""
    texts = {
        "email": rules.emails,
        "ip": partial(rules.ipv6s, public=public_ips),
        "street": rules.streets,
    }
    lines = {
        "iban": rules.ibans,
        "card": rules.cards,
        "national_id": rules.national_ids,
        "ip": partial(rules.ipv4s, public=public_ips),
        "phone": rules.phones,
    }
    return _Chosen(
        [found for kind, found in texts.items() if kind in kinds],
        [found for kind, found in lines.items() if kind in kinds],
        {kind: rank for rank, kind in enumerate(KINDS)},
    )


def _spans(
    chosen: _Chosen, detectors: Sequence[Detector], text: str
) -> list[Span]:
    """Returns what is found in a text, in order and without overlaps."""
    spans = [span for find in chosen.texts for span in find(text)]
    if chosen.lines:
        for start, line in rules.number_lines(text):
            spans += [
                Span(start + span.start, start + span.end, span.kind)
                for find in chosen.lines
                for span in find(line)
            ]
    for detector in detectors:
        spans += _checked(detector, text)
    return without_overlaps(spans, chosen.ranks)


def _checked(detector: Detector, text: str) -> list[Span]:
    """Returns the spans of a user's detector."""
    spans = [Span(*span) for span in detector(text)]
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise InputError(
                "Expected spans with 0 <= start < end <= the text's "
                f"{len(text)} characters. Received: {span} of the detector "
                f"{name_of(detector)}."
            )
    return spans


def _marks(
    text: str,
    spans: Sequence[Span],
    placeholders: Mapping[str, str],
    numbered: bool,
) -> list[str]:
    """Returns the placeholder of each span."""
    values: dict[str, dict[str, int]] = {}
    marks = []
    for start, end, kind in spans:
        mark = placeholders.get(kind, f"[{kind.upper()}]")
        if numbered:
            seen = values.setdefault(kind, {})
            number = seen.setdefault(text[start:end], len(seen) + 1)
            close = mark[-1:] if mark.endswith(("]", ">", "}", ")")) else ""
            mark = f"{mark.removesuffix(close)}_{number}{close}"
        marks.append(mark)
    return marks


def _pieces(
    text: str, spans: Sequence[Span], marks: Sequence[str]
) -> list[str]:
    """Returns text, mark, text, mark, ..., text."""
    pieces, end = [], 0
    for span, mark in zip(spans, marks, strict=True):
        pieces += [text[end : span.start], mark]
        end = span.end
    return [*pieces, text[end:]]


def _sample(
    document: Document, span: Span, number: int, pieces: Sequence[str]
) -> str:
    """Returns a line for people: a value masked, in its context."""
    at = 2 * number + 1
    # Two pieces hold enough: a mark stands between any two stretches.
    before = "".join(pieces[max(0, at - 5) : at])[-_AROUND:]
    after = "".join(pieces[at + 1 : at + 6])[:_AROUND]
    value = mask(document.text[span.start : span.end])
    line = f"{before}[{span.kind.upper()} {value}]{after}"
    return f"{document.source}: {' '.join(line.split())}"


def _check(
    kinds: Sequence[str],
    placeholders: Mapping[str, str],
    detectors: Sequence[Detector | str],
    audit: int,
) -> None:
    """Refuses kinds that are not known."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if isinstance(kinds, str) or unknown:
        raise InputError(
            f"Expected kinds of personal data, of {', '.join(KINDS)}. "
            f"Received: {kinds!r}. Pass a detector of your own for others."
        )
    stray = [kind for kind in placeholders if kind not in kinds]
    if stray and not detectors:
        raise InputError(
            "Expected placeholders for the kinds that are looked for "
            f"({', '.join(kinds)}). Received: one for {', '.join(stray)}."
        )
    if audit < 0:
        raise InputError(f"Expected audit >= 0. Received: {audit}.")
