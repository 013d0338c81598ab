"""What an evaluation found, in TensorBoard."""

import os
from collections.abc import Sequence

from keras_llm.evaluate.finding import Finding, Title, Words
from keras_llm.evaluate.markdown_page import markdown_of
from keras_llm.evaluate.sections import (
    Drawing,
    Section,
    measures_of,
    sections_of,
)


def write_summaries(
    log_dir: str | os.PathLike, findings: Sequence[Finding], step: int
) -> None:
    """Writes findings as TensorBoard summaries of one step.

    Every measure is a scalar of its own name, every picture an image, every
    finding a text.

    Args:
        log_dir: Where the event file goes: a folder of its own, beside that
            of the training's events, since TensorBoard follows only the
            newest file of a folder.
        findings: What was found.
        step: The optimizer step.

    Raises:
        InputError: As for `write_report`.

    Example:

    >>> import tempfile
    >>> from keras_llm.evaluate.finding import Measure
    >>> class Size:
    ...     title = "Size"
    ...     def measures(self): return {"size/tokens": Measure(9.0)}
    ...     def blocks(self): return [Words("9 tokens.")]
    ...     def to_dict(self): return {}
    >>> write_summaries(tempfile.mkdtemp(), [Size()], step=1)
    """
    import tensorflow as tf

    measures, sections = measures_of(findings), sections_of(findings)
    writer = tf.summary.create_file_writer(os.fspath(log_dir))
    with tf.device("CPU:0"), writer.as_default(step=step):
        for name, measure in measures.items():
            tf.summary.scalar(name, measure.value)
        for section in sections:
            tf.summary.text(section.anchor, _text(section))
            for part in section.parts:
                if isinstance(part, Drawing):
                    image = tf.io.decode_png(part.png, channels=3)
                    name = f"{section.anchor}/{part.file[:-4]}"
                    tf.summary.image(
                        name, image[None], description=part.caption
                    )
    writer.close()


def _text(section: Section) -> str:
    """A section as Markdown; its pictures are among the images."""
    parts = [
        Words(f"Picture: {part.caption}") if isinstance(part, Drawing) else part
        for part in section.parts
    ]
    title = Title(section.title)
    return "\n\n".join(markdown_of(part) for part in [title, *parts])
