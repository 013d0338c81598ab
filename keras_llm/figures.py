"""A matplotlib figure, without a window and without global state."""

import io
from typing import Any

from keras_llm.errors import InputError


def new_figure(width: float = 8.0, height: float = 4.5) -> Any:
    """Returns an empty `matplotlib.figure.Figure` that lays itself out.

    As the last line of a notebook's cell it is shown there.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "Expected matplotlib for the picture. Received: it is not "
            'installed. Run: pip install "keras_llm[viz]"'
        ) from error

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=100)
            return file.getvalue()

    return Shown(figsize=(width, height), layout="constrained")
