"""The feedback store: answers, and what people said of them."""

import json
import os

from keras_llm.errors import InputError
from keras_llm.feedback.answer import Answer, Prompt
from keras_llm.feedback.labels import Labels
from keras_llm.feedback.pairs import Pairs
from keras_llm.feedback.tables import as_json, now, write_lines
from keras_llm.feedback.tuning import INSTRUCTIONS, PREFERENCES, as_line


class FeedbackStore(Pairs, Labels):
    """A SQLite file of answers and what people say of them; of labels, too.

    Every method that adds something returns when it is on the disk: a kill
    after that loses nothing. Threads and processes may share a file.

    Args:
        path: The file; a missing one is made.

    Raises:
        InputError: The file is damaged, another program's, or of a newer
            version.
        OSError: The file cannot be opened or written.

    Example:

    >>> import tempfile
    >>> store = FeedbackStore(tempfile.mkdtemp() + "/feedback.sqlite")
    >>> store.add(Answer(id="1", prompt="Once", text=" up", model="rose/1"))
    >>> store.rate("1", 1)
    >>> store.correct("1", " upon a time")
    >>> store.counts()
    {'answers': 1, 'up': 1, 'down': 0, 'corrections': 1, 'choices': 0}
    >>> store.close()
    """

    def add(self, *answers: Answer) -> None:
        """Keeps answers, so that feedback can refer to them.

        An answer that is kept already stays as it is.
        """
        self._write(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO NOTHING",
            *(
                (
                    one.id,
                    now(),
                    as_json(one.prompt),
                    one.text,
                    one.model,
                    one.adapter,
                    as_json(one.settings),
                )
                for one in answers
            ),
        )

    def rate(self, answer_id: str, rating: int, comment: str = "") -> None:
        """Adds a thumb up (1) or down (-1); the last one counts.

        Raises:
            InputError: There is no such answer, or the rating is another
                number.
        """
        if rating not in (-1, 1):
            raise InputError(
                "Expected a rating of 1 (up) or -1 (down). Received: "
                f"{rating!r}."
            )
        self._write(
            "INSERT INTO ratings (created, answer_id, rating, comment) "
            "VALUES (?, ?, ?, ?)",
            (now(), answer_id, rating, comment),
        )

    def correct(self, answer_id: str, correction: str) -> None:
        """Adds what the answer should have been; the last one counts.

        Raises:
            InputError: There is no such answer, or the text is empty.
        """
        if not correction.strip():
            raise InputError(
                "Expected the text that the answer should have been. "
                "Received: an empty one."
            )
        self._write(
            "INSERT INTO corrections (created, answer_id, correction) "
            "VALUES (?, ?, ?)",
            (now(), answer_id, correction),
        )

    def counts(self) -> dict[str, int]:
        """Returns how many answers, thumbs, corrections, choices are kept."""
        last = "ratings WHERE id IN (SELECT max(id) FROM ratings GROUP BY "
        last += "answer_id) AND rating ="
        tables = {"answers": "answers", "up": f"{last} 1", "down": f"{last} -1"}
        tables |= {"corrections": "corrections", "choices": "choices"}
        return {name: self._count(table) for name, table in tables.items()}

    def write_preferences(self, path: str | os.PathLike) -> int:
        """Writes pairs for preference tuning as JSON lines.

        A line has `prompt`, `chosen` and `rejected`: texts, or lists of
        messages where the prompt is a chat. Pairs are the choices, each
        correction beside its answer, and answers to the same prompt of which
        one has a thumb up and the other a thumb down.

        Returns:
            How many lines were written.
        """
        return self._export(PREFERENCES, ("chosen", "rejected"), path)

    def write_instructions(self, path: str | os.PathLike) -> int:
        """Writes good answers for instruction tuning as JSON lines.

        A line has `messages` with the answer last, or `prompt` and
        `completion` where the prompt is a text. Good answers are corrections,
        and those without one whose last thumb is up.

        Returns:
            How many lines were written.
        """
        return self._export(INSTRUCTIONS, ("completion",), path)

    def prompts(self) -> list[Prompt]:
        """Returns every prompt that was answered, once, the oldest first."""
        query = "SELECT prompt FROM answers GROUP BY prompt ORDER BY min(rowid)"
        return [json.loads(prompt) for (prompt,) in self._rows(query)]

    def _export(
        self, query: str, names: tuple[str, ...], path: str | os.PathLike
    ) -> int:
        return write_lines(
            path,
            (
                as_line(
                    json.loads(prompt), dict(zip(names, texts, strict=True))
                )
                for prompt, *texts in self._rows(query)
            ),
        )
