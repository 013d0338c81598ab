"""Pictures in TensorBoard: any figure, at a step of a run."""

import contextlib
import os
from typing import Any

from keras_llm.evaluate.sections import figure_png


def log_figure(
    log_dir: str | os.PathLike, name: str, figure: Any, step: int
) -> None:
    """Writes a figure as an image of TensorBoard.

    Args:
        log_dir: Where the event file goes: a folder of its own, such as
            `run/tensorboard/pictures`, since TensorBoard follows only the
            newest file of a folder.
        name: Of the image; pictures of one name are a series over steps.
        figure: A `matplotlib.figure.Figure`.
        step: The optimizer step.

    Example:

    >>> import tempfile
    >>> from keras_llm.figures import new_figure
    >>> folder = tempfile.mkdtemp()
    >>> log_figure(folder, "empty", new_figure(2, 1), step=3)
    >>> os.listdir(folder)[0].startswith("events.out.tfevents")
    True
    """
    import tensorflow as tf

    image = tf.io.decode_png(figure_png(figure), channels=3)
    writer = tf.summary.create_file_writer(os.fspath(log_dir))
    with contextlib.closing(writer), tf.device("CPU:0"):
        with writer.as_default(step=step):
            tf.summary.image(name, image[None])
