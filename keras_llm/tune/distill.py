"""Distillation: a small model learns what a larger one would say."""

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import ops

from keras_llm.conversation import required
from keras_llm.data.counts import Counts
from keras_llm.errors import InputError
from keras_llm.progress import track
from keras_llm.train.losses import TokenLoss, token_loss
from keras_llm.train.objective import Objective, decoder_part
from keras_llm.tune.examples import Conversation


class Distillation(Objective):
    """Cross-entropy, and the divergence from a teacher's probabilities.

    `(1 - alpha) * CE + alpha * T^2 * KL(teacher || student)`, both as means
    over weighted tokens, with logits divided by T in the divergence.

    Args:
        teacher: A decoder with the same vocabulary; it is not trained.
        alpha: Share of the divergence, 0 to 1. Default: 0.5.
        temperature: T, above zero. Default: 2.

    Raises:
        InputError: A number is out of range.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531.

    Example:

    >>> Distillation(keras.Sequential(), alpha=0.9).metrics
    ('divergence',)
    """

    metrics = ("divergence",)

    def __init__(
        self, teacher: keras.Model, alpha: float = 0.5, temperature: float = 2.0
    ):
        if not 0 <= alpha <= 1 or not temperature > 0:
            raise InputError(
                "Expected alpha from 0 to 1 and a temperature above zero. "
                f"Received: alpha={alpha}, temperature={temperature}."
            )
        self.teacher, self.alpha = teacher, alpha
        self.temperature = temperature

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch; the loss shown is cross-entropy."""
        inputs = decoder_part(inputs)
        logits = model(inputs, training=training)
        loss = token_loss(logits, targets, weights)
        taught = ops.stop_gradient(self.teacher(inputs, training=False))
        theirs, ours = (
            ops.log_softmax(ops.cast(x, "float32") / self.temperature)
            for x in (taught, logits)
        )
        each = ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)
        divergence = ops.sum(each * ops.cast(weights, "float32"))
        objective = (1 - self.alpha) * loss.cross_entropy
        objective += self.alpha * self.temperature**2 * divergence
        return loss._replace(objective=objective, extras=(divergence,))


def check_teacher(lm: Any, teacher: Any) -> None:
    """Makes sure that a teacher's logits mean what the student's mean.

    Raises:
        InputError: It has another tokenizer or number of logits.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), BytePairTokenizer.train(["a"], 264))
    >>> check_teacher(lm, lm)
    """
    same = lm.tokenizer.fingerprint == teacher.tokenizer.fingerprint
    ours, theirs = (x.config.vocabulary_size for x in (lm, teacher))
    if not same or ours != theirs:
        raise InputError(
            "Expected a teacher with the student's tokenizer and as many "
            f"logits ({ours}), to compare their probabilities. Received: "
            f"{'the same' if same else 'another'} tokenizer and {theirs} "
            "logits. Learn from its texts instead: tune.teacher_answers."
        )


def teacher_answers(
    teacher: Any, conversations: Iterable[Conversation], **settings: Any
) -> Iterator[Conversation]:
    """Yields conversations whose last answer is the teacher's own.

    Distillation by sequences: `tune.chat` on them teaches a student of any
    vocabulary. Left out, and counted on standard error, is what the teacher's
    context has no room for, and what it has nothing to say to.

    Args:
        teacher: A `CausalLM` with a chat template.
        conversations: Whose last answer is replaced.
        **settings: As for `CausalLM.chat`.

    Raises:
        InputError: The teacher has no chat template.

    Source: Kim & Rush 2016, https://arxiv.org/abs/1606.07947.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> from keras_llm.tune import exchange
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), BytePairTokenizer.train(["a"], 264))
    >>> asked = [Conversation(exchange("b", "c"))]
    >>> answered = list(teacher_answers(lm, asked, max_new_tokens=4))
    >>> len(answered) <= 1
    True
    """
    template = required(teacher.chat_template)
    counts, most = Counts("teacher's answers"), teacher.config.context_length
    for one in track(list(conversations), "asking the teacher"):
        *before, last = one.messages
        ids, _ = template.encode(teacher.tokenizer, before, True)
        if len(ids) >= most:
            counts.drop(one.where, f"longer than its {most} tokens")
            continue
        answer = "".join(teacher.chat(before, **settings)).strip()
        if not answer:
            counts.drop(one.where, "without an answer")
            continue
        said = (*before, {**last, "content": answer})
        yield dataclasses.replace(one, messages=said)
    if counts.dropped:
        print(f"left out {counts.reasons()}", file=sys.stderr)
