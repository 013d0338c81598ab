"""Pairs of answers in the feedback store: which of two is better."""

import json

from keras_llm.errors import InputError
from keras_llm.feedback.answer import Answer
from keras_llm.feedback.tables import Tables, now, unknown

_COLUMNS = ("id", "prompt", "text", "model", "adapter", "settings")
_FIELDS = ("id", "prompt", "answer", "model", "adapter", "settings")

_COMPARED = """
    SELECT chosen_id, rejected_id FROM choices
    UNION SELECT rejected_id, chosen_id FROM choices
    UNION SELECT first_id, second_id FROM ties
    UNION SELECT second_id, first_id FROM ties
"""
_OPEN = f"""
    SELECT {", ".join(f"{x}.{field}" for x in "ab" for field in _FIELDS)}
    FROM answers a JOIN answers b ON a.prompt = b.prompt
    AND a.rowid < b.rowid AND a.answer != b.answer
    WHERE (a.id, b.id) NOT IN ({_COMPARED}) ORDER BY b.rowid, a.rowid
"""


class Pairs(Tables):
    """The part of a `FeedbackStore` that compares answers.

    Example:

    >>> import tempfile
    >>> with Pairs(tempfile.mkdtemp() + "/feedback.sqlite") as store:
    ...     store.open_pairs()
    []
    """

    def choose(self, chosen_id: str, rejected_id: str) -> None:
        """Adds a choice between two answers to the same prompt.

        Raises:
            InputError: There is no such answer, or they answer two prompts.
        """
        self._check_pair(chosen_id, rejected_id)
        self._write(
            "INSERT INTO choices (created, chosen_id, rejected_id) "
            "VALUES (?, ?, ?)",
            (now(), chosen_id, rejected_id),
        )

    def tie(self, first_id: str, second_id: str) -> None:
        """Says that two answers to the same prompt are as good as each other.

        A tie is no pair to tune on, and is not asked again.

        Raises:
            InputError: As for `choose`.
        """
        self._check_pair(first_id, second_id)
        self._write(
            "INSERT INTO ties (created, first_id, second_id) VALUES (?, ?, ?)",
            (now(), first_id, second_id),
        )

    def open_pairs(self) -> list[tuple[Answer, Answer]]:
        """Returns two and two different answers to one prompt, not compared.

        Those to whose prompts answers came first are first.
        """
        size = len(_FIELDS)
        return [
            (_answer(row[:size]), _answer(row[size:]))
            for row in self._rows(_OPEN)
        ]

    def compared(self, first_id: str, second_id: str) -> bool:
        """Says whether a choice or a tie is kept of two answers."""
        query = f"SELECT 1 WHERE (?, ?) IN ({_COMPARED})"
        return any(self._rows(query, first_id, second_id))

    def compared_count(self) -> int:
        """Returns how many pairs of answers a choice or a tie is kept of."""
        (rows,) = next(self._rows(f"SELECT count(*) FROM ({_COMPARED})"))
        return rows // 2  # each stands there both ways round

    def answer(self, answer_id: str) -> Answer:
        """Returns an answer.

        Raises:
            InputError: There is no such answer.
        """
        query = f"SELECT {', '.join(_FIELDS)} FROM answers WHERE id = ?"
        for row in self._rows(query, answer_id):
            return _answer(row)
        raise unknown(answer_id)

    def __contains__(self, answer_id: str) -> bool:
        """Says whether an answer of this id is kept."""
        return any(self._rows("SELECT 1 FROM answers WHERE id = ?", answer_id))

    def _check_pair(self, *keys: str) -> None:
        prompts = [self.answer(key).prompt for key in keys]
        if prompts[0] != prompts[1] or keys[0] == keys[1]:
            raise InputError(
                "Expected two answers to the same prompt. Received: "
                f"{keys[0]} and {keys[1]}, which are not."
            )


def _answer(row: tuple) -> Answer:
    values = dict(zip(_COLUMNS, row, strict=True))
    read = {key: json.loads(values[key]) for key in ("prompt", "settings")}
    return Answer(**{**values, **read})
