"""A SavedModel of this library as an engine, in the token loop it holds."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.decoding import State, flatten, unflatten
from keras_llm.errors import InputError
from keras_llm.export import host_files
from keras_llm.export.host_files import HostFiles
from keras_llm.export.server.asked import decoded
from keras_llm.export.server.engine import Token
from keras_llm.export.server.saved_signatures import INTERNAL, SavedSignatures
from keras_llm.export.server.state_engine import StateEngine, padded
from keras_llm.sampling import GenerationSettings, controls_of

HOST_FILES = Path("assets.extra") / "keras_llm"


class SavedGenerator:
    """The signatures `start` and `advance`; see `export.token_graph`.

    Args:
        signatures: Those of the SavedModel.
        host: Its tokenizer and settings.
    """

    fixed = True  # the state of `advance` has every part

    def __init__(self, signatures: SavedSignatures, host: HostFiles):
        self._signatures, self._host = signatures, host
        self._start, self._advance = map(signatures.function, INTERNAL)

    def start(
        self,
        prompts: Sequence[list[int]],
        settings: Sequence[GenerationSettings],
        candidates: bool,
    ) -> State:
        """Reads the prompts; gives the first token of each."""
        tokens, lengths = padded(prompts, self._host.config.context_length)
        most = [each.max_new_tokens for each in settings]
        ends = np.tile(np.array(self._host.end_ids, "int32"), (len(most), 1))
        inputs = {
            "tokens": tokens,
            "lengths": lengths,
            "max_new_tokens": np.array(most, "int32"),
            "ends": ends,
            "candidates": np.full(len(most), candidates),
            **controls_of(settings)._asdict(),
        }
        inputs = {name: tf.constant(each) for name, each in inputs.items()}
        return unflatten(self._start(**inputs))

    def advance(self, state: State, most: int) -> State:
        """Decodes until `most` columns are out."""
        most = tf.constant(most, tf.int32)
        return unflatten(self._advance(most=most, **flatten(state)))

    def score(self, ids: Sequence[int]) -> list[Token]:
        """Returns every token but the first with its log-probability."""
        function = self._signature("score_tokens")
        found = function(tokens=tf.constant([list(ids)], tf.int32))
        own, best, values = (
            found[name].numpy()[0, : len(ids) - 1].tolist()
            for name in ("token_logprobs", "likeliest", "likeliest_logprobs")
        )
        return [
            Token(token, value, tuple({one: most, token: value}.items()))
            for token, value, one, most in zip(
                ids[1:], own, best, values, strict=True
            )
        ]

    def embed(self, rows: Sequence[list[int]]) -> np.ndarray:
        """Returns the mean-pooled hidden state of each row of ids."""
        vectors = []
        for ids in rows:
            found = self._of_text("embed", ids, "embedding", "num_tokens")
            if int(found["num_tokens"]) != len(ids):
                raise _other_ids()
            vectors.append(found["embedding"])
        return np.stack(vectors)

    def _of_text(
        self, signature: str, ids: Sequence[int], *outputs: str
    ) -> Mapping[str, Any]:
        """Outputs of a signature that takes a text, for the text of ids."""
        function = self._signature(signature)
        started = ids[0] == self._host.start_id
        text = decoded(self._host, ids[1:] if started else ids)
        found = function(text=tf.constant([text]))
        return {name: found[name].numpy()[0] for name in outputs}

    def _signature(self, name: str) -> Any:
        return required(self._signatures, name)


def saved_engine(
    path: str | os.PathLike, most_rows: int
) -> tuple[StateEngine, SavedSignatures]:
    """Loads the newest version of a SavedModel.

    Args:
        path: The folder of versions, or one version.
        most_rows: Most rows at once.

    Returns:
        Its engine and its signatures.

    Raises:
        InputError: None is there, it is damaged, or it cannot be continued
            in steps.
    """
    signatures = SavedSignatures(path)
    files = signatures.folder / HOST_FILES
    if not files.is_dir() or None in map(signatures.function, INTERNAL):
        raise InputError(
            "Expected a SavedModel with the signatures start and advance and "
            f"the tokenizer's files in {HOST_FILES}, as "
            "keras_llm.export.saved_model writes it. Received: "
            f"{signatures.folder} without them. Export the model again."
        )
    host = host_files.read(files)
    generator = SavedGenerator(signatures, host)
    name, version = signatures.name, signatures.version
    return StateEngine(name, version, host, generator, most_rows), signatures


def required(signatures: SavedSignatures, name: str) -> Any:
    """Returns a signature to call.

    Raises:
        InputError: The SavedModel has none of this name.
    """
    function = signatures.function(name)
    if function is None:
        raise InputError(
            f"Expected a SavedModel with the signature {name!r}. Received: "
            f"{signatures.folder} without. Export the model again with it."
        )
    return function


def _other_ids() -> InputError:
    return InputError(
        "Expected ids that the tokenizer gives for their text, because this "
        "artifact reads text. Received: others. Send the text instead."
    )
