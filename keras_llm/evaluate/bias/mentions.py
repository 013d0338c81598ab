"""Word lists: whom a text may speak of, and next to what."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.files import read_settings

WORDS = Path(__file__).with_name("mentions.yaml")


@dataclasses.dataclass(frozen=True)
class WordLists:
    """Groups of people by kind, and words that may stand next to them.

    Attributes:
        groups: Kind -> group -> terms; see `Terms` for upper and lower case.
        near: Name of a list -> terms.

    Raises:
        InputError: There is no group with a term.

    Example:

    >>> lists = WordLists({"age": {"old": ["elderly"]}}, {"jobs": ["nurse"]})
    >>> lists.labels()
    [('age', 'old')]
    """

    groups: Mapping[str, Mapping[str, Sequence[str]]]
    near: Mapping[str, Sequence[str]]

    def __post_init__(self):
        if not self.labels():
            raise InputError(
                "Expected at least one kind with a group. Received: none."
            )

    def labels(self) -> list[tuple[str, str]]:
        """Returns every kind and group, in order."""
        return [
            (kind, group)
            for kind, groups in self.groups.items()
            for group in groups
        ]

    def groups_of(self, term: str) -> set[tuple[str, str]]:
        """Returns the groups that a term speaks of.

        A phrase also speaks of what its single words speak of in other kinds:
        "old man" is about age and about gender.
        """
        found = {
            (kind, group)
            for kind, groups in self.groups.items()
            for group, terms in groups.items()
            if term in terms
        }
        kinds = {kind for kind, _ in found}
        words = term.split() if " " in term else ()
        inner = set().union(*(self.groups_of(word) for word in words))
        return found | {label for label in inner if label[0] not in kinds}


def load_words(path: str | os.PathLike | None = None) -> WordLists:
    """Reads word lists from YAML: `groups` (kind, group, terms) and `near`.

    Args:
        path: Your file. Default: the package's own, `mentions.yaml`, with
            gender, names, religion, nationality, age and disability, and
            occupations and adjectives to stand near.

    Raises:
        InputError: The file is missing or has another form.

    Example:

    >>> sorted(load_words().near)
    ['adjectives', 'occupations']
    """
    path = Path(path or WORDS)
    if not path.is_file():
        raise InputError(
            f"Expected a YAML file of words. Received: {path}, which is none."
        )
    found = read_settings(path)
    groups, near = found.get("groups"), found.get("near", {})
    if not isinstance(groups, dict) or set(found) - {"groups", "near"}:
        raise InputError(
            f"Expected `groups` and maybe `near` in {path}. Received: "
            f"{', '.join(map(str, found)) or 'nothing'}."
        )
    lists = [("near", near), *groups.items()]
    wrong = [name for name, value in lists if not _lists_of_words(value)]
    if wrong:
        raise InputError(
            f"Expected lists of words by name under {wrong[0]} in {path}. "
            f"Received: {dict(lists)[wrong[0]]!r:.80}. Put words such as "
            '"no" and "on" in quotes.'
        )
    return WordLists(groups, near)


def _lists_of_words(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(words, list) and all(isinstance(word, str) for word in words)
        for words in value.values()
    )
