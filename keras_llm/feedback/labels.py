"""Labels of texts in the feedback store, for classifiers to learn from."""

import os

from keras_llm.errors import InputError
from keras_llm.feedback.tables import Tables, now, write_lines

# Of each text what was said last.
_LAST = """
    SELECT text, label FROM labels
    WHERE id IN (SELECT max(id) FROM labels GROUP BY text) ORDER BY id
"""


class Labels(Tables):
    """The part of a `FeedbackStore` that holds labels.

    Example:

    >>> import tempfile
    >>> with Labels(tempfile.mkdtemp() + "/feedback.sqlite") as store:
    ...     store.label("Free entry", "spam")
    ...     store.labels()
    {'Free entry': 'spam'}
    """

    def label(
        self, text: str, label: str, annotator: str = "", source: str = ""
    ) -> None:
        """Adds the class of a text; the last one counts.

        Args:
            text: What was labelled.
            label: Its class.
            annotator: Who says so.
            source: Where the text is from, for example a file.

        Raises:
            InputError: The text or the label is empty.
        """
        if not text.strip() or not label.strip():
            raise InputError(
                "Expected a text and its label. Received: "
                f"{text!r:.60} and {label!r:.60}, of which one is empty."
            )
        self._write(
            "INSERT INTO labels (created, text, label, annotator, source) "
            "VALUES (?, ?, ?, ?, ?)",
            (now(), text, label, annotator, source),
        )

    def labels(self) -> dict[str, str]:
        """Returns text to label, in the order in which they were said."""
        return dict(self._rows(_LAST))

    def label_counts(self) -> dict[str, int]:
        """Returns label to how many texts have it, the most frequent first."""
        query = f"SELECT label, count(*) FROM ({_LAST}) GROUP BY label "
        return dict(self._rows(query + "ORDER BY count(*) DESC, label"))

    def write_labels(self, path: str | os.PathLike) -> int:
        """Writes `text` and `label` as JSON lines, one for each text.

        Returns:
            How many lines were written.
        """
        return write_lines(
            path,
            (
                {"text": text, "label": label}
                for text, label in self.labels().items()
            ),
        )
