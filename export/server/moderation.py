"""Moderation: what may go into a model and come out of it.

A block-list of terms, rules as regular expressions, and classifiers (any
function from a text to a probability) check prompts and answers. What was
refused is written to an audit log.
"""

import dataclasses
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from keras_llm.data.block_list import plain_text, term_pattern
from keras_llm.errors import InputError, check_choice
from keras_llm.export.server.audit import AuditLog
from keras_llm.records import Record

Where = Literal["input", "output"]
WHERE = get_args(Where)

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*\s|\n")


class Verdict(NamedTuple):
    """Whether a text is allowed, and if not, why.

    Example:

    >>> Verdict(True).reason
    ''
    """

    allowed: bool
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule(Record):
    """Refuses a text that a regular expression finds something in.

    Attributes:
        pattern: Of Python's `re`, upper and lower case alike. Patterns that
            backtrack without end make requests wait: they are yours to test.
        reason: What the client is told.
        where: "input", "output" or both.

    Example:

    >>> Rule(pattern=r"\\d{16}", reason="a card number").finds("4" * 16)
    True
    """

    pattern: str
    reason: str
    where: tuple[str, ...] = WHERE

    def __post_init__(self):
        _check_where(self.where)
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise InputError(
                "Expected a regular expression as pattern. Received: "
                f"{self.pattern!r:.60} ({error})."
            ) from error

    def finds(self, text: str) -> bool:
        """Says whether it refuses this text."""
        return bool(re.search(self.pattern, text, re.IGNORECASE))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Record):
    """Refuses a text that a function finds likely to be of some kind.

    Attributes:
        function: From a text to a probability, or to a label and its
            probability; in a file as "module:name". One that fails refuses.
        threshold: Refuse from this probability on.
        labels: Labels to refuse; () for all.
        reason: What the client is told; the label is added.
        where: "input", "output" or both.

    Example:

    >>> shouting = Classifier(function=lambda text: float(text.isupper()))
    >>> shouting.refuses("HELLO"), shouting.refuses("Hello")
    ('refused by a classifier', '')
    """

    function: Any  # from a text to a probability
    threshold: float = 0.5
    labels: tuple[str, ...] = ()
    reason: str = "refused by a classifier"
    where: tuple[str, ...] = WHERE

    def __post_init__(self):
        _check_where(self.where)
        if isinstance(self.function, str):
            object.__setattr__(self, "function", imported(self.function))
        if not 0 < self.threshold <= 1:
            raise InputError(
                "Expected a threshold above 0, at most 1. Received: "
                f"{self.threshold!r}."
            )

    def refuses(self, text: str) -> str:
        """Returns why it refuses this text, or ""."""
        found = self.function(text)
        label, probability = found if isinstance(found, tuple) else ("", found)
        if self.labels and label not in self.labels:
            return ""
        if float(probability) < self.threshold:  # not a number refuses
            return ""
        return f"{self.reason} ({label})" if label else self.reason


class Moderator:
    """Checks prompts and answers.

    Args:
        terms: Words and phrases that no text may have: whole words, upper
            and lower case alike, also with invisible characters inside or in
            other forms of the same letters.
        rules: Regular expressions.
        classifiers: Functions from a text to a probability.
        audit: Where refusals are written to.
        window: An answer that streams is held back up to the end of its
            sentence, or up to this many characters.

    Example:

    >>> moderator = Moderator(terms=["darn it"])
    >>> moderator.check("Darn  it!", "input")
    Verdict(allowed=False, reason='a blocked term')
    >>> moderator.check("It darns socks.", "output").allowed
    True
    """

    def __init__(
        self,
        terms: Sequence[str] = (),
        rules: Sequence[Rule] = (),
        classifiers: Sequence[Classifier] = (),
        audit: AuditLog | None = None,
        window: int = 400,
    ):
        if window < 1:
            raise InputError(
                f"Expected a window of at least 1 character. Received: {window}"
            )
        self.rules = (*_of_terms(terms), *rules)
        self.classifiers = tuple(classifiers)
        self.audit, self.window = audit, window

    def check(self, text: str, where: Where) -> Verdict:
        """Says whether a text is allowed; a refusal is logged first.

        Args:
            text: A prompt, or an answer up to here.
            where: "input" or "output".
        """
        verdict = self._verdict(text, where)
        if self.audit is not None:
            self.audit.write(text, where, verdict.allowed, verdict.reason)
        return verdict

    def guard(self) -> "StreamGuard":
        """Returns what holds back and checks one answer that streams."""
        return StreamGuard(self)

    def _verdict(self, text: str, where: Where) -> Verdict:
        plain = plain_text(text)
        for rule in self.rules:
            if where in rule.where and rule.finds(plain):
                return Verdict(False, rule.reason)
        for classifier in self.classifiers:
            if where not in classifier.where:
                continue
            try:
                reason = classifier.refuses(text)
            except Exception as error:  # a stranger's code: nothing may pass
                reason = f"a check failed ({type(error).__name__})"
            if reason:
                return Verdict(False, reason)
        return Verdict(True)


class StreamGuard:
    """Holds back an answer that streams until what it shows was checked.

    Text is let out at the end of a sentence, or at the last space before
    `window` characters. Each check sees the answer from its beginning, so a
    refusal may come after a harmless beginning was shown.

    Attributes:
        refused: The verdict that ended the answer, or None.

    Example:

    >>> guard = Moderator(terms=["darn"]).guard()
    >>> guard.feed("Well. Da"), guard.feed("rn!"), guard.finish()
    ('Well. ', '', '')
    >>> guard.refused.reason
    'a blocked term'
    """

    def __init__(self, moderator: Moderator):
        self.refused: Verdict | None = None
        self._moderator = moderator
        self._text, self._shown = "", 0

    def feed(self, piece: str) -> str:
        """Takes the next piece; returns what may be shown now."""
        self._text += piece
        held = self._text[self._shown :]
        ends = [match.end() for match in _SENTENCE_END.finditer(held)]
        if ends:
            return self._release(ends[-1])
        if len(held) > self._moderator.window:
            return self._release(held.rfind(" ") + 1 or len(held))
        return ""

    def finish(self) -> str:
        """Returns the rest, if it may be shown; none after a refusal."""
        return self._release(len(self._text) - self._shown)

    def _release(self, count: int) -> str:
        if self.refused is not None or not count:
            return ""
        start, self._shown = self._shown, self._shown + count
        verdict = self._moderator.check(self._text[: self._shown], "output")
        if not verdict.allowed:
            self.refused = verdict
            return ""
        return self._text[start : self._shown]


def _of_terms(terms: Sequence[str]) -> list[Rule]:
    """One rule for all terms: whole words, with any space between them."""
    if not terms:
        return []
    return [Rule(pattern=term_pattern(terms), reason="a blocked term")]


def imported(name: str) -> Callable[..., Any]:
    """Returns a function by its name, "module:name".

    Raises:
        InputError: It cannot be imported, or is no function.

    Example:

    >>> imported("math:sqrt")(9)
    3.0
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            'Expected a function as "module:name" that can be imported. '
            f"Received: {name!r} ({error})."
        ) from error
    if not callable(found):
        raise InputError(
            f"Expected a function. Received: {name!r}, which is "
            f"{type(found).__name__}."
        )
    return found


def _check_where(where: Sequence[str]) -> None:
    for one in where:
        check_choice("where", one, WHERE)
