"""Rollouts: answers drawn while training goes on, as batches for `fit`."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data.arrays import Batch, training_arrays
from keras_llm.errors import InputError
from keras_llm.files import atomic_path
from keras_llm.train.objective import decoder_part
from keras_llm.tune.answers import Answer, Answering
from keras_llm.tune.group_policy import GroupPolicyConfig, advantages
from keras_llm.tune.preference_losses import token_log_probabilities
from keras_llm.tune.questions import Question
from keras_llm.tune.reference import base_model
from keras_llm.tune.rewards import Reward, judged

FILE = "rollout.npz"  # in a run's folder: the newest answers

EIGHT = 8


class Rollouts:
    """Batches of answers to questions, drawn from the weights of the moment.

    Every `updates` steps a group of answers to each of the next questions is
    drawn, and judged; the batch of those steps is all of them. It depends on
    the weights, the seed and the step only, so that a stopped run goes on
    with what it would have drawn. Batches are made when they are asked for,
    never ahead.

    Args:
        answering: The model and how it is asked.
        questions: What it is asked, in an order that the seed gives; each
            once before any comes again.
        reward: See `keras_llm.tune.rewards`.
        config: The constants of GRPO.
        batch_size: Answers in a batch, a multiple of the group.
        reference: A decoder to keep to, where `config.kl` is not 0; the model
            itself stands for its base without the adapter.
        rows: Answers scored at a time. Default: all of a batch.
        out: Folder to keep the newest answers in, where several updates
            learn from them.

    Attributes:
        time: Tokens of a row.
        context_length: Positions of a row.
        fingerprint: Hash of questions and settings.
        error: What went wrong while a batch was made, or None.

    Raises:
        InputError: There are no questions, one is too long, or the batch is
            no multiple of the group.

    Example: see `keras_llm.tune.grpo.grpo`.
    """

    def __init__(
        self,
        answering: Answering,
        questions: Sequence[Question],
        reward: Reward,
        config: GroupPolicyConfig,
        batch_size: int,
        reference: Any = None,
        rows: int | None = None,
        out: str | os.PathLike | None = None,
    ):
        self.answering, self.reward, self.config = answering, reward, config
        self.questions = list(questions)
        self.batch_size, self.rows = batch_size, rows or batch_size
        self._check()
        self.prompts = [answering.encode(one) for one in self.questions]
        longest = max(map(len, self.prompts)) + config.max_new_tokens
        self.time = -(-(longest - 1) // EIGHT) * EIGHT
        self.context_length = longest - 1
        self.fingerprint = self._fingerprint()
        self.error: Exception | None = None
        self._file = None if out is None else Path(out) / FILE
        self._now = _scorer(answering.lm.model, config.temperature)
        self._reference = None
        if reference is not None:
            same = reference is answering.lm.model
            self._reference = _scorer(reference, config.temperature, same)
        self._last: tuple[int, Batch] | None = None

    def batches_from(self, step: int, seed: int) -> Any:
        """Returns an endless dataset from the batch of a step on.

        Raises:
            InputError: The answers that this step learns from are gone.
        """
        import tensorflow as tf

        first = step - step % self.config.updates
        self._last = (first, self._read(first)) if first < step else None
        kinds, shapes = self._signature()

        def made(at: np.ndarray) -> list[np.ndarray]:
            try:
                return tf.nest.flatten(self.batch(int(at), seed))
            except Exception as error:
                self.error = error  # TensorFlow keeps only its text
                raise

        def batch(at: Any) -> Any:
            flat = tf.nest.flatten(kinds)
            arrays = tf.numpy_function(made, [at], flat)
            for array, shape in zip(arrays, shapes, strict=True):
                array.set_shape(shape)
            return tf.nest.pack_sequence_as(kinds, arrays)

        options = tf.data.Options()
        # What is made ahead would be drawn from weights of before.
        options.experimental_optimization.inject_prefetch = False
        options.autotune.enabled = False
        data = tf.data.Dataset.range(step, np.iinfo(np.int64).max).map(batch)
        endless = tf.data.INFINITE_CARDINALITY
        data = data.apply(tf.data.experimental.assert_cardinality(endless))
        return data.with_options(options)

    def batch(self, step: int, seed: int) -> Batch:
        """Returns the batch of a step; answers are drawn if it is their turn.

        Raises:
            InputError: The reward is no number.
        """
        first = step - step % self.config.updates
        if self._last is None or self._last[0] != first:
            self._last = (first, self._drawn(first, seed))
            if self._file is not None and self.config.updates > 1:
                self._write(self._file, *self._last)
        return self._last[1]

    def _drawn(self, step: int, seed: int) -> Batch:
        """New answers, judged."""
        group, turn = self.config.group, step // self.config.updates
        asked = self._chosen(turn, seed)
        prompts = [self.prompts[i] for i in asked for _ in range(group)]
        entropy = np.random.SeedSequence((seed, turn))
        start = int(entropy.generate_state(1, np.uint64)[0] >> 3)
        answers = self.answering(prompts, self.config.temperature, start)
        rewards = judged(
            self.reward,
            [self.questions[i] for i in asked for _ in range(group)],
            [answer.text for answer in answers],
        )
        return self._with_scores(self._rows(prompts, answers, rewards))

    def _chosen(self, turn: int, seed: int) -> list[int]:
        """The questions of a turn: places in an endless row of shuffles."""
        count, each = len(self.questions), self.batch_size // self.config.group
        places = range(turn * each, (turn + 1) * each)
        orders = {
            epoch: np.random.default_rng((seed, epoch)).permutation(count)
            for epoch in {place // count for place in places}
        }
        return [int(orders[p // count][p % count]) for p in places]

    def _rows(
        self,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Answer],
        rewards: Sequence[float],
    ) -> Batch:
        """Prompts with their answers, one a row, without log-probabilities."""
        tokens = np.zeros((len(prompts), self.time + 1), np.int32)
        segments = np.zeros_like(tokens)
        learned = np.zeros(tokens.shape, np.float32)
        for row, (prompt, answer) in enumerate(
            zip(prompts, answers, strict=True)
        ):
            end = len(prompt) + len(answer.ids)
            tokens[row, :end] = [*prompt, *answer.ids]
            segments[row, :end] = 1
            learned[row, len(prompt) : end] = 1
        inputs, targets, weights = training_arrays(tokens, segments)
        better = advantages(
            rewards, self.config.group, self.config.loss == "grpo"
        )
        inputs["advantage"] = better[:, None]
        inputs["reward"] = np.array(rewards, np.float32)[:, None]
        return inputs, targets, weights * learned[:, 1:]

    def _with_scores(self, batch: Batch) -> Batch:
        """The same with the log-probabilities that the loss compares with."""
        inputs, targets, weights = batch
        if self.config.updates > 1:
            inputs["old"] = self._scored(self._now, batch)
        if self._reference is not None:
            inputs["reference"] = self._scored(self._reference, batch)
        return inputs, targets, weights

    def _scored(self, score: Callable, batch: Batch) -> np.ndarray:
        inputs, targets, _ = batch
        decoder = decoder_part(inputs)
        parts = (
            slice(at, at + self.rows)
            for at in range(0, len(targets), self.rows)
        )
        return np.concatenate(
            [
                score({n: x[part] for n, x in decoder.items()}, targets[part])
                for part in parts
            ]
        )

    def _signature(self) -> tuple[Any, list[tuple[int, ...]]]:
        """Kinds and shapes of a batch's arrays."""
        blank = Answer([0], "", False)
        size = self.batch_size
        arrays = self._rows([[0]] * size, [blank] * size, [0.0] * size)
        inputs, targets, weights = arrays
        for name, needed in (
            ("old", self.config.updates > 1),
            ("reference", self._reference is not None),
        ):
            if needed:
                inputs[name] = np.zeros_like(weights)
        import tensorflow as tf

        kinds = tf.nest.map_structure(
            lambda x: tf.as_dtype(x.dtype), (inputs, targets, weights)
        )
        flat = tf.nest.flatten((inputs, targets, weights))
        return kinds, [array.shape for array in flat]

    def _write(self, path: Path, step: int, batch: Batch) -> None:
        inputs, targets, weights = batch
        others = {"targets": targets, "weights": weights}
        arrays: dict[str, Any] = {"step": np.array(step), **others, **inputs}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    def _read(self, step: int) -> Batch:
        if self._file is not None and self._file.exists():
            with open(self._file, "rb") as file, np.load(file) as held:
                arrays = dict(held)
            if int(arrays.pop("step")) == step:
                targets, weights = arrays.pop("targets"), arrays.pop("weights")
                return arrays, targets, weights
        raise InputError(
            f"Expected in {self._file} the answers that step {step} drew, "
            "which later steps learn from. Received: none or others. Remove "
            "the newest checkpoint to go on from the one before."
        )

    def _check(self) -> None:
        group = self.config.group
        if not self.questions:
            raise InputError(
                "Expected at least one question. Received: none. Pass some, "
                "for example from tune.read_questions."
            )
        if self.batch_size % group or self.batch_size < group:
            raise InputError(
                f"Expected batch_size as a multiple of group={group}: so many "
                f"answers to each question. Received: {self.batch_size}. Use "
                f"{max(1, round(self.batch_size / group)) * group}."
            )

    def _fingerprint(self) -> str:
        about = {
            "prompts": self.prompts,
            "records": [dict(one.record) for one in self.questions],
            "config": self.config.to_dict(),
        }
        text = json.dumps(about, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _scorer(model: Any, temperature: float, base: bool = False) -> Callable:
    """Compiled log-probabilities of targets, from arrays to an array."""
    import tensorflow as tf

    def score(inputs: Any, targets: Any) -> Any:
        logits = model(inputs, training=False) / temperature
        return token_log_probabilities(logits, targets)

    traced = tf.function(score, autograph=False, reduce_retracing=True)

    def scored(inputs: Any, targets: Any) -> np.ndarray:
        tensors = tf.nest.map_structure(tf.constant, (inputs, targets))
        if base:  # counts while it is traced
            with base_model(model):
                return traced(*tensors).numpy()
        return traced(*tensors).numpy()

    return scored
