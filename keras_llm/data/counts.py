"""What happened to the documents: seen, kept, changed, dropped and why."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 3


def utf8_size(text: str) -> int:
    """Returns how many bytes `text` takes in UTF-8.

    Example:

    >>> utf8_size("naïve")
    6
    """
    return len(text) if text.isascii() else len(text.encode("utf-8"))


@dataclass
class Counts:
    """Counts of one step; every drop has a reason.

    Attributes:
        step: Name of the step.
        settings: Settings of the step, as JSON values.
        documents_in: Documents the step received.
        bytes_in: Their text, in bytes of UTF-8.
        documents_out: Documents the step handed on.
        bytes_out: Their text, in bytes of UTF-8.
        dropped: Reason -> number of documents (or files, while reading).
        changed: Kind of change -> number of documents.
        examples: Reason -> sources of the first three drops.
        found: Kind of thing found in texts -> how often, all documents
            together.
        samples: Kind -> the first few things found, as a line for people.
        shown: Kind -> how many samples are kept at most.
        rejects: Called as `rejects(document, step, reason)` for every dropped
            document; None: they are only counted.

    Example:

    >>> counts = Counts("minimum_length")
    >>> counts.drop("a.txt", "shorter than 200 characters")
    >>> dict(counts.dropped)
    {'shorter than 200 characters': 1}
    """

    step: str
    settings: dict[str, Any] = field(default_factory=dict)
    documents_in: int = 0
    bytes_in: int = 0
    documents_out: int = 0
    bytes_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)
    rejects: Callable[[Any, str, str], None] | None = None

    def saw(self, text: str) -> None:
        """Counts a document that comes in."""
        self.documents_in += 1
        self.bytes_in += utf8_size(text)

    def kept(self, text: str) -> None:
        """Counts a document that is handed on."""
        self.documents_out += 1
        self.bytes_out += utf8_size(text)

    def change(self, kind: str) -> None:
        """Counts a document that was changed in the way `kind` names."""
        self.changed[kind] += 1

    def find(self, kind: str, sample: str = "", most: int = 0) -> None:
        """Counts a thing found in a text, and shows the first `most` of it.

        Example:

        >>> counts = Counts("privacy")
        >>> counts.find("email", "mail.txt: write to [EMAIL] today", most=1)
        >>> counts.find("email", "mail.txt: or to [EMAIL]", most=1)
        >>> dict(counts.found), counts.samples
        ({'email': 2}, {'email': ['mail.txt: write to [EMAIL] today']})
        """
        self.found[kind] += 1
        self.shown[kind] = most
        if self.found[kind] <= most:
            self.samples.setdefault(kind, []).append(sample)

    def drop(self, document: Any, reason: str) -> None:
        """Counts a drop.

        Args:
            document: The `Document`, or the name of a file that gave none.
            reason: Why, in words; the same words for the same cause.
        """
        self.dropped[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(getattr(document, "source", document))
        if self.rejects is not None and not isinstance(document, str):
            self.rejects(document, self.step, reason)

    def add(self, later: "Counts") -> None:
        """Adds the counts of the documents that came next, by the same step.

        Example:

        >>> counts, later = Counts("read"), Counts("read")
        >>> counts.drop("a.bin", "binary")
        >>> later.drop("b.bin", "binary")
        >>> counts.add(later)
        >>> counts.reasons()
        'read: 2 binary (a.bin, b.bin)'
        """
        self.settings = self.settings or later.settings
        self.documents_in += later.documents_in
        self.bytes_in += later.bytes_in
        self.documents_out += later.documents_out
        self.bytes_out += later.bytes_out
        self.shown.update(later.shown)
        for mine, theirs in (
            (self.dropped, later.dropped),
            (self.changed, later.changed),
            (self.found, later.found),
        ):
            mine.update(theirs)
        for reason, names in later.examples.items():
            joined = [*self.examples.get(reason, []), *names]
            self.examples[reason] = joined[:EXAMPLES]
        for kind, lines in later.samples.items():
            joined = [*self.samples.get(kind, []), *lines]
            self.samples[kind] = joined[: self.shown[kind]]

    def to_record(self) -> dict[str, Any]:
        """Returns everything but `rejects` as JSON values.

        Example:

        >>> record = Counts("repair", documents_in=3).to_record()
        >>> Counts.from_record(record).documents_in
        3
        """
        return {k: v for k, v in vars(self).items() if k != "rejects"}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Counts":
        """Returns the counts that `to_record` wrote down."""
        counters = ("dropped", "changed", "found")
        counted = {name: Counter(record[name]) for name in counters}
        return cls(**{**record, **counted})

    def reasons(self) -> str:
        """Returns the drops as one phrase for messages.

        Example:

        >>> counts = Counts("read")
        >>> counts.drop("a.bin", "binary")
        >>> counts.reasons()
        'read: 1 binary (a.bin)'
        """
        parts = [
            f"{number} {reason} ({', '.join(self._shown(reason))})"
            for reason, number in self.dropped.items()
        ]
        return f"{self.step}: {'; '.join(parts) or 'nothing dropped'}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the counts as JSON values; `found` only where there is."""
        found = {"found": dict(self.found), "samples": self.samples}
        return {
            "step": self.step,
            "settings": self.settings,
            "documents_in": self.documents_in,
            "bytes_in": self.bytes_in,
            "documents_out": self.documents_out,
            "bytes_out": self.bytes_out,
            "dropped": dict(self.dropped),
            "changed": dict(self.changed),
            **(found if self.found else {}),
        }

    def _shown(self, reason: str) -> list[str]:
        """Names the first examples and says when there are more."""
        names = self.examples.get(reason, [])
        more = self.dropped[reason] > len(names)
        return [*names, "..."] if more else names
