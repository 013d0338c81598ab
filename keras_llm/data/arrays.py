"""From packed rows to what `model.fit` takes: inputs, targets, weights."""

import numpy as np

Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]

NO_ROW = -1  # in an array of indices: an empty row, all zeros


def training_arrays(tokens: np.ndarray, segments: np.ndarray) -> Batch:
    """Returns inputs, targets and weights of packed rows.

    Args:
        tokens: Integers, (batch, context_length + 1).
        segments: Same shape; 1, 2, ... for the documents of a row, 0 for
            padding.

    Returns:
        `(inputs, targets, weights)`, each (batch, context_length): inputs is
        a dict of int32 "tokens", "positions" (from 0 in every segment) and
        "segments"; targets are the next tokens, int32; weights are float32, 1
        where the target belongs to the same document as the input, else 0.

    Example:

    >>> tokens = np.array([[5, 6, 1, 8, 1, 0]])
    >>> segments = np.array([[1, 1, 1, 2, 2, 0]])
    >>> inputs, targets, weights = training_arrays(tokens, segments)
    >>> inputs["positions"].tolist(), weights.tolist()
    ([[0, 1, 2, 0, 1]], [[1.0, 1.0, 0.0, 1.0, 0.0]])
    """
    here, following = segments[:, :-1], segments[:, 1:]
    inputs = {
        "tokens": tokens[:, :-1].astype(np.int32),
        "positions": positions_of(here),
        "segments": here.astype(np.int32),
    }
    weights = ((here == following) & (here > 0)).astype(np.float32)
    return inputs, tokens[:, 1:].astype(np.int32), weights


def positions_of(segments: np.ndarray) -> np.ndarray:
    """Returns the position of each token within its segment, int32.

    Args:
        segments: Integers, (batch, length); 0 is padding.

    Returns:
        int32 of the same shape; 0 in padding.

    Example:

    >>> positions_of(np.array([[1, 1, 2, 2, 2, 0, 0]])).tolist()
    [[0, 1, 0, 1, 2, 0, 0]]
    """
    places = np.arange(segments.shape[1], dtype=np.int32)
    starts = np.zeros(segments.shape, np.int32)
    changed = segments[:, 1:] != segments[:, :-1]
    starts[:, 1:] = np.where(changed, places[1:], 0)
    positions = places - np.maximum.accumulate(starts, axis=1)
    return np.where(segments > 0, positions, 0).astype(np.int32)


def taken(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns the rows of an array at `indices`, zeros where one is -1.

    Example:

    >>> taken(np.array([[5, 6], [7, 8]]), np.array([1, NO_ROW])).tolist()
    [[7, 8], [0, 0]]
    """
    found = indices != NO_ROW
    if found.all():
        return array[indices]
    rows = np.zeros((len(indices), *array.shape[1:]), array.dtype)
    rows[found] = array[indices[found]]
    return rows
