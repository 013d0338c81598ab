"""A classifier as a TensorFlow graph from texts to labels."""

from typing import Any

import tensorflow as tf

from keras_llm.classify import Classifier
from keras_llm.classify.forward import row_inputs
from keras_llm.export.prompt_graph import TokenizerGraph
from keras_llm.export.token_graph import traced
from keras_llm.stopping import SEPARATOR

TEXT, SECOND = "text", "text_pair"


class ClassifierGraph:
    """The function of a served classifier, as `Classifier.predict` does it.

    Args:
        classifier: It computes in float32, without adapters.
        max_bytes: Longer texts keep this many of their first bytes before
            they are tokenized.
    """

    def __init__(self, classifier: Classifier, max_bytes: int):
        self._model, self._max_bytes = classifier.model, max_bytes
        self._settings, self._ids = classifier.settings, classifier.settings.ids
        self._texts = TokenizerGraph(classifier.tokenizer)

    def signatures(self) -> dict[str, Any]:
        """Returns `serving_default`, traced."""
        names = (TEXT, SECOND) if self._settings.pairs else (TEXT,)
        specs = {name: tf.TensorSpec([None], tf.string, name) for name in names}
        return {"serving_default": traced(self.labels, specs)}

    def labels(
        self, text: tf.Tensor, text_pair: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """The label of each text, how likely it is, and all probabilities."""
        rows = self._rows(text, text_pair)
        tokens = rows.to_tensor(0, shape=[None, None])
        lengths = tf.cast(rows.row_lengths(), tf.int32)
        inside = tf.sequence_mask(lengths, tf.shape(tokens)[1], tf.int32)
        logits = self._model(row_inputs(tokens, inside))[:, 0]
        scaled = logits / self._settings.temperature
        if self._settings.many:
            return self._several(tf.sigmoid(scaled))
        return self._single(tf.nn.softmax(scaled))

    def _single(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        place = tf.argmax(probabilities, -1, tf.int32)
        if self._settings.threshold is not None:
            least = probabilities[:, 1] >= self._settings.threshold
            place = tf.cast(least, tf.int32)
        chosen = tf.gather(probabilities, place, batch_dims=1)
        return {
            "label": tf.gather(tf.constant(self._settings.labels), place),
            "probability": chosen,
            "probabilities": probabilities,
        }

    def _several(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        threshold = self._settings.threshold
        least = tf.constant(0.5 if threshold is None else threshold)
        given = probabilities >= least
        names = tf.constant([self._settings.labels])
        names = tf.tile(names, [tf.shape(probabilities)[0], 1])
        label = tf.strings.reduce_join(
            tf.ragged.boolean_mask(names, given), axis=-1, separator=SEPARATOR
        )
        return {
            "label": label,
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    def _rows(
        self, text: tf.Tensor, text_pair: tf.Tensor | None
    ) -> tf.RaggedTensor:
        """Ids as `encode_texts` gives them."""
        ids, count = self._ids, tf.shape(text)[0]
        one, room = self._encoded(text), ids.room
        parts = [_same(ids.start, count)]
        if text_pair is None:
            parts.append(one[:, :room])
        else:
            room -= len(ids.between)
            two = self._encoded(text_pair)
            rest = room - tf.cast(two.row_lengths(), tf.int32)
            one = _first(one, tf.maximum(room - room // 2, rest))
            left = room - tf.cast(one.row_lengths(), tf.int32)
            between = tf.tile(tf.constant([ids.between], tf.int32), [count, 1])
            parts += [one, between, _first(two, left)]
        parts.append(_same(ids.end, count))
        return tf.concat(parts, axis=1)

    def _encoded(self, text: tf.Tensor) -> tf.RaggedTensor:
        size = tf.minimum(tf.strings.length(text), self._max_bytes)
        return self._texts.encode(
            tf.strings.substr(text, tf.zeros_like(size), size)
        )


def _same(token: int | None, count: tf.Tensor) -> tf.RaggedTensor:
    """An id in each row, or none."""
    ids = tf.constant([[] if token is None else [token]], tf.int32)
    return tf.RaggedTensor.from_tensor(tf.tile(ids, [count, 1]))


def _first(ids: tf.RaggedTensor, most: tf.Tensor) -> tf.RaggedTensor:
    """The first ids of each row, no more than `most` of that row."""
    starts = tf.cast(ids.row_splits[:-1], tf.int32)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    places = tf.ragged.range(starts, starts + tf.minimum(lengths, most))
    return places.with_flat_values(
        tf.gather(ids.flat_values, places.flat_values)
    )
