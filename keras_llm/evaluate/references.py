"""What texts are compared with: one reference each, or several."""

from collections.abc import Sequence

from keras_llm.errors import InputError


def reference_lists(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    least: int = 1,
) -> list[list[str]]:
    """Returns the references of each text as a list.

    Args:
        predictions: The texts.
        references: One for each, or several.
        least: Fewest references of a text.

    Raises:
        InputError: There are no texts or not as many references, or a text
            has fewer than `least`.

    Example:

    >>> reference_lists(["a", "b"], ["x", ["y", "z"]])
    [['x'], ['y', 'z']]
    """
    if not len(predictions) or len(predictions) != len(references):
        raise InputError(
            "Expected at least one text, and as many references. Received: "
            f"{len(predictions)} texts and {len(references)} references."
        )
    lists = [[one] if isinstance(one, str) else list(one) for one in references]
    for number, several in enumerate(lists):
        if len(several) < least:
            raise InputError(
                f"Expected at least {least} reference for each text. "
                f"Received: {len(several)} for text {number}. Leave the text "
                "out, or compare by exact_match and token_f1, which know "
                "questions without an answer."
            )
    return lists
