"""Which tokens a model holds for alike: neighbours of their embeddings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.visualize.observing import token_label
from keras_llm.visualize.palette import colour, drawable

KINDS = (keras.layers.Embedding,)  # ReversibleEmbedding is one


def embedding_neighbours(
    model: Any, token: Any, count: int = 10, tokenizer: Any = None
) -> list[tuple[int, str, float]]:
    """Returns the tokens whose embeddings point most nearly the same way.

    Args:
        model: A `CausalLM`, or any Keras model with an `Embedding`; of
            several the first counts.
        token: An id, or a text of one token.
        count: How many neighbours. Default: 10.
        tokenizer: Of a Keras model, for a text and for names.

    Returns:
        `(id, name, cosine)`, the nearest first, without the token itself.

    Raises:
        InputError: The text is not one token, or the id none of the model's.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> len(embedding_neighbours(model, 3, count=2))
    2
    """
    table, tokenizer = _table(model, tokenizer)
    number = _token_id(token, tokenizer, len(table))
    lengths = np.linalg.norm(table, axis=-1)
    unit = table / np.maximum(lengths, 1e-12)[:, None]
    cosine = unit @ unit[number]
    cosine[number] = -np.inf
    best = np.argsort(-cosine, kind="stable")[:count]
    return [
        (int(one), token_label(int(one), tokenizer), float(cosine[one]))
        for one in best
        if one != number
    ]


def neighbours_figure(
    model: Any,
    tokens: Sequence[Any],
    count: int = 8,
    tokenizer: Any = None,
) -> Any:
    """Draws tokens and their neighbours on a plane.

    The plane is that of the two largest principal components of the tokens
    shown: near points may still be far from each other elsewhere.

    Args:
        model: As for `embedding_neighbours`.
        tokens: Ids, or texts of one token each.
        count: Neighbours of each. Default: 8.
        tokenizer: Of a Keras model.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: As for `embedding_neighbours`; no token was given;
            matplotlib is missing.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> neighbours_figure(model, [3, 4], count=2).axes[0].get_xlabel()
    'first principal component'
    """
    if not tokens:
        raise InputError(
            "Expected at least one token to look around. Received: none."
        )
    table, known = _table(model, tokenizer)
    groups = {}
    for token in tokens:
        number = _token_id(token, known, len(table))
        near = embedding_neighbours(model, number, count, tokenizer)
        groups[number] = [number, *(one for one, *_ in near)]
    shown = sorted({one for group in groups.values() for one in group})
    plane = dict(zip(shown, _principal(table[shown]), strict=True))
    figure = new_figure(8, 6)
    axes = figure.subplots()
    owner = {  # a token of two groups has the colour of the first
        one: index
        for index, group in reversed([*enumerate(groups.values())])
        for one in group
    }
    owner |= {number: index for index, number in enumerate(groups)}
    places = _apart({one: plane[one] for one in owner})
    for one, index in owner.items():
        axes.scatter(*plane[one], color=colour(index), s=14)
        axes.annotate(
            *(drawable(token_label(one, known)), places[one]),
            xytext=(4, 2),
            textcoords="offset points",
            family="monospace",
            fontsize=11 if one in groups else 8,
            fontweight="bold" if one in groups else "normal",
        )
    axes.margins(x=0.12)
    axes.set(
        xlabel="first principal component", ylabel="second principal component"
    )
    axes.grid(alpha=0.3)
    return figure


def export_projector(
    model: Any,
    folder: str | os.PathLike,
    tokenizer: Any = None,
    most: int = 10_000,
) -> Path:
    """Writes the embeddings for TensorBoard's projector.

    Look at them with `tensorboard --logdir FOLDER`, tab "Projector".

    Args:
        model: As for `embedding_neighbours`.
        folder: Made where it is missing.
        tokenizer: Of a Keras model; None numbers the tokens.
        most: Tokens written, the first ones. Default: 10,000.

    Returns:
        The folder.

    Example:

    >>> import tempfile
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> folder = export_projector(model, tempfile.mkdtemp())
    >>> (folder / "projector_config.pbtxt").exists()
    True
    """
    from keras_llm.train.projector import write_projector

    table, tokenizer = _table(model, tokenizer)
    write_projector(Path(folder), table[:most], tokenizer)
    return Path(folder)


def _table(model: Any, tokenizer: Any) -> tuple[np.ndarray, Any]:
    if not isinstance(model, keras.Model):
        model, tokenizer = model.model, model.tokenizer
    layers = [one for one in model.layers if isinstance(one, KINDS)]
    if not layers:
        raise InputError(
            "Expected a model with an Embedding layer. Received: "
            f"{model.name} without one."
        )
    table = keras.ops.convert_to_numpy(layers[0].embeddings)
    return np.asarray(table, "float32"), tokenizer


def _token_id(token: Any, tokenizer: Any, count: int) -> int:
    if isinstance(token, str):
        ids = tokenizer.encode(token) if tokenizer else []
        if len(ids) != 1:
            raise InputError(
                f"Expected a text of one token. Received: {token!r}, "
                f"{len(ids)} tokens. Pass an id, or a shorter text (words "
                "within a sentence often start with a space)."
            )
        token = ids[0]
    if not 0 <= int(token) < count:
        raise InputError(
            f"Expected an id from 0 to {count - 1}. Received: {token}."
        )
    return int(token)


def _apart(plane: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Where labels may stand: below one that would cover them."""
    points = np.array(list(plane.values()))
    room = np.ptp(points, axis=0) * (0.15, 0.035)
    placed: dict[int, np.ndarray] = {}
    for one, point in sorted(plane.items(), key=lambda item: -item[1][1]):
        for before in placed.values():
            near = np.abs(point - before) < room
            if near.all():
                point = np.array([point[0], before[1] - room[1]])
        placed[one] = point
    return placed


def _principal(vectors: np.ndarray) -> np.ndarray:
    """The vectors on their two largest principal components."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    plane[:, : len(axes[:2])] = centred @ axes[:2].T
    return plane
