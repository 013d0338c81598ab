"""A reward model: one number for an answer, learned from preferences."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.conversation import chosen_template, required
from keras_llm.data.array_rows import ArrayRows
from keras_llm.errors import InputError
from keras_llm.records import Record
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.train import fit
from keras_llm.tune.bradley_terry import BradleyTerry, scored_rows
from keras_llm.tune.encoding import encode_chat, encode_plain
from keras_llm.tune.examples import Message, Pair
from keras_llm.tune.messages import exchange
from keras_llm.tune.pair_rows import PLAIN, pair_rows
from keras_llm.tune.reference import same_model

DEFAULTS: dict[str, Any] = {"learning_rate": 1e-5, "weight_decay": 0.0}
Prompt = str | Sequence[Message]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardSettings(Record):
    """What a reward model is, beside its weights.

    Args:
        template: The chat template as a dictionary; None for plain text.
        context_length: The most tokens of a prompt with its answer.
        labels: What the one output is called.
        pooling: Where the score is read: at the last token.
        dropout: Share of the head's inputs that training drops.

    Example:

    >>> RewardSettings(context_length=8).labels
    ('reward',)
    """

    context_length: int
    template: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ("reward",)
    pooling: str = "last"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        self._set("labels", tuple(self.labels))
        self._positive("context_length")


class RewardModel:
    """Scores answers to prompts: the higher, the better.

    Only differences between answers to one prompt mean anything: a
    difference d says that the first is preferred with probability
    `sigmoid(d)`.

    Args:
        model: From `classify.sequence_model`, with one class.
        tokenizer: The tokenizer of its decoder.
        settings: What else it needs.
        report: Of its training, as a dictionary.

    Raises:
        InputError: The tokenizer lacks special tokens of the template.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.classify import sequence_model
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> judge = RewardModel(sequence_model(decoder, classes=1),
    ...     HostTokenizer.train(["a"], 261, progress=False),
    ...     RewardSettings(context_length=16))
    >>> judge.score(["a", "a"], ["b", "cd"]).shape
    (2,)
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: RewardSettings,
        report: dict[str, Any] | None = None,
    ):
        from keras_llm.classify.forward import Forward

        self.model, self.tokenizer = model, tokenizer
        self.settings, self.report = settings, report or {}
        self._template = None
        if settings.template is not None:
            template = ChatTemplate.from_dict(dict(settings.template))
            self._template = required(chosen_template(tokenizer, template))
        self._forward = Forward(model)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[str]
    ) -> np.ndarray:
        """Returns the score of each answer.

        Args:
            prompts: Texts, or lists of messages with a user's last.
            answers: One for each prompt.

        Returns:
            float32 `(answers,)`.

        Raises:
            InputError: There are not as many answers as prompts, or one does
                not fit the context.
        """
        if len(prompts) != len(answers):
            raise InputError(
                f"Expected an answer for each of {len(prompts)} prompts. "
                f"Received: {len(answers)}."
            )
        rows = [
            self._ids(prompt, answer)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        scores = [found[0, 0] for found in self._forward(rows)]
        return np.array(scores, np.float32)

    def __call__(self, prompt: str, answer: str, record: Any = None) -> float:
        """Returns the score of one answer, so that it can be a `Reward`."""
        return float(self.score([prompt], [answer])[0])

    def save(self, folder: str | os.PathLike) -> None:
        """Writes everything that `load` needs into a folder, whole or not.

        Raises:
            InputError: The folder holds other files, or an adapter is merged.
            OSError: The disk is full.
        """
        from keras_llm.classify import folder as folders

        folders.write(self, folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, dtype: str | None = "float32"
    ) -> "RewardModel":
        """Reads what `save` wrote.

        Raises:
            InputError: The folder is something else, or damaged.
        """
        from keras_llm.classify import folder as folders

        return cls(**folders.read(folder, dtype, RewardSettings))

    def _ids(self, prompt: Prompt, answer: str) -> np.ndarray:
        """A prompt with its answer, to the end of the answer."""
        asked = exchange(prompt) if isinstance(prompt, str) else prompt
        messages = [*asked, {"role": "assistant", "content": answer}]
        where = "an answer to score"
        if self._template is None:
            codes = encode_plain(messages, self.tokenizer, "last", where)
        else:
            codes = encode_chat(
                *(messages, self.tokenizer, self._template, "last", where)
            )
        if len(codes) > self.settings.context_length:
            raise InputError(
                f"Expected at most {self.settings.context_length} tokens of a "
                f"prompt with its answer. Received: {len(codes)}. Shorten it."
            )
        return codes >> 1


def reward(
    lm: Any,
    pairs: Iterable[Pair],
    *,
    validation: Iterable[Pair] | None = None,
    template: ChatTemplate | str | None = None,
    context_length: int | None = None,
    too_long: str = "drop",
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> RewardModel:
    """Trains a reward model on preferences (Bradley-Terry).

    It is a copy of the language model's decoder with a head that reads one
    number at the last token of an answer; the language model stays as it is.
    An adapter of the model is copied too, and alone is trained with the head.

    Args:
        lm: A `CausalLM`.
        pairs: From `read_pairs`.
        validation: More of them, held out.
        template: The chat template, or "plain" for none. Default: the
            model's own, else "plain".
        context_length: The most tokens of a prompt with one answer. Default:
            the model's.
        too_long: What happens to longer ones, as in `pair_rows`.
        out: Folder of the run, as in `train.fit`.
        **settings: Of `train.fit`: `steps`, `batch_size` (pairs), ...
            Defaults that differ: learning_rate=1e-5, weight_decay=0.

    Raises:
        InputError: The pairs cannot be used, or a setting is out of range.

    Source: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155.

    Example:

    >>> import keras_llm as kl
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> lm = kl.CausalLM(kl.build_decoder(kl.DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> judge = reward(lm, [Pair(exchange("a"), "b", "cd")], steps=9,
    ...     batch_size=1, learning_rate=0.01, template="plain")
    >>> good, bad = judge.score(["a", "a"], ["b", "cd"])
    >>> bool(good > bad)
    True
    """
    from keras_llm.classify.model import sequence_model, unused_at_rest

    chat = template or lm.chat_template or PLAIN
    length = context_length or lm.config.context_length
    seed = settings.get("seed", 0)
    model = sequence_model(same_model(lm.model), 1, "last", seed=seed)

    def rows_of(some: Iterable[Pair]) -> ArrayRows:
        return scored_rows(
            pair_rows(some, lm.tokenizer, chat, length, too_long)
        )

    with unused_at_rest(model):
        report = fit(
            model,
            rows_of(pairs),
            out=out,
            validation_rows=None if validation is None else rows_of(validation),
            tokenizer=lm.tokenizer,
            objective=BradleyTerry(),
            **{**DEFAULTS, **settings},
        )
    about = RewardSettings(
        context_length=length, template=_as_json(lm.tokenizer, chat)
    )
    return RewardModel(model, lm.tokenizer, about, report.to_dict())


def _as_json(tokenizer: Any, chat: ChatTemplate | str) -> dict | None:
    """A template as JSON gives it back."""
    if chat == PLAIN:
        return None
    template = required(chosen_template(tokenizer, chat))
    return json.loads(json.dumps(template.to_dict()))
