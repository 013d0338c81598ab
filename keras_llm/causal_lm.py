"""CausalLM: a decoder, its tokenizer and how it generates, in one object."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from keras_llm import adapters, model_folder
from keras_llm.adapters import float32_copy
from keras_llm.config import DecoderConfig
from keras_llm.conversation import (
    after,
    all_end_ids,
    check_ids,
    chosen_template,
    required,
)
from keras_llm.embed import embedder
from keras_llm.errors import InputError
from keras_llm.generate import TokenGenerator
from keras_llm.model import Decoder
from keras_llm.model_folder import CONFIG, WEIGHTS, Origin
from keras_llm.sampling import GenerationSettings
from keras_llm.score import checked_temperature, found_temperature, scorer
from keras_llm.stopping import StopStream
from keras_llm.tokenizers.chat import ChatTemplate, Messages

__all__ = ["CONFIG", "WEIGHTS", "CausalLM", "Origin", "float32_copy"]

STREAM_TOKENS = 4  # decoded between two looks at the text


class CausalLM:
    """A language model to talk to: text in, text out.

    Args:
        model: A decoder from `build_decoder`.
        tokenizer: The tokenizer it was trained with.
        settings: Defaults of `generate` and `stream`. Default: greedy.
        chat: How messages become text, or the name of one of
            `tokenizers.chat.TEMPLATES`. Default: our own for a tokenizer
            with its special tokens, else none.
        end_ids: Ids that end a text. Default: the tokenizer's eos and the
            end of the model's turn, which always ends a reply in a chat.
        starts: Whether the tokenizer's bos is put before every prompt.
        origin: Where the weights came from.
        temperature: What logits are divided by in calibrated scores, from
            `evaluate.calibrated`; generation has its own in `settings`.
            Default: None, not calibrated.

    Attributes:
        config: The decoder's config.
        chat_template: The chat template, or None.
        end_ids: Ids that end a text.

    Raises:
        InputError: The tokenizer has ids that the model does not know, or
            lacks special tokens of the chat template; an end id is none of
            the model's ids.

    Example:

    >>> from keras_llm import build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), tokenizer)
    >>> isinstance(lm.generate("a rose", max_new_tokens=3), str)
    True
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: Any,
        settings: GenerationSettings | None = None,
        chat: ChatTemplate | str | None = None,
        end_ids: Sequence[int] | None = None,
        starts: bool = True,
        origin: Origin | None = None,
        temperature: float | None = None,
    ):
        if tokenizer.vocabulary_size > model.config.vocabulary_size:
            raise InputError(
                "Expected a tokenizer of at most "
                f"{model.config.vocabulary_size} tokens, the model's "
                f"vocabulary. Received: {tokenizer.vocabulary_size} tokens. "
                "Use the tokenizer that the model was trained with."
            )
        self.model, self.tokenizer = model, tokenizer
        self.settings = settings or GenerationSettings()
        self.config: DecoderConfig = model.config
        self.chat_template = chosen_template(tokenizer, chat)
        self.starts, self.origin = starts, origin or Origin()
        self.temperature = checked_temperature(temperature)
        self._given_ends = end_ids
        if end_ids is None:
            end_ids = all_end_ids(tokenizer, self.chat_template)
        self.end_ids = tuple(end_ids)
        check_ids(self.end_ids, model.config.vocabulary_size)
        self._generators: dict[tuple[int, ...], TokenGenerator] = {}
        self._scorers: dict[float, Any] = {}
        self._embedder: Any = None
        self._compiled_with: tuple = ()

    @property
    def start_id(self) -> int | None:
        """The id put before every prompt, or None.

        Without one only empty prompts are started, with the eos.
        """
        return self.tokenizer.bos_id if self.starts else None

    def encode_prompt(self, prompt: str) -> list[int]:
        """Returns a prompt's ids, the start id first if there is one.

        Special tokens spelled in the prompt are text like any other: a user
        cannot smuggle them in.

        Raises:
            InputError: The prompt is no string, or empty without any token
                that could start a text.
        """
        if not isinstance(prompt, str):
            raise InputError(
                "Expected a prompt as a string. Received: "
                f"{type(prompt).__name__}. Pass text, or a list of texts."
            )
        ids = self.tokenizer.encode(prompt, disallowed_special=())
        if self.start_id is not None:
            return [self.start_id, *ids]
        if not ids and not self.end_ids:
            raise InputError(
                "Expected a prompt that is not empty, because this tokenizer "
                "has no token that starts a text. Received: ''."
            )
        return ids or [self.end_ids[0]]

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of ids that the model gave.

        Many published models have more ids than their tokenizer has tokens,
        for rounder shapes. Such an id has no text, and is no reason to fail.
        """
        return self.tokenizer.decode(self._known(ids))

    @overload
    def generate(self, prompts: str, **settings: Any) -> str: ...

    @overload
    def generate(
        self, prompts: Sequence[str], **settings: Any
    ) -> list[str]: ...

    def generate(self, prompts: Any, **settings: Any) -> Any:
        """Continues a text, or a batch of texts of any lengths.

        Args:
            prompts: A string, or a list of strings.
            **settings: Fields of `GenerationSettings` that differ from the
                defaults in `self.settings`.

        Returns:
            The new text without the prompt; a list for a list.

        Raises:
            InputError: A prompt does not fit the context, or a setting is
                unknown or out of range.
        """
        if isinstance(prompts, str):
            return self.generate([prompts], **settings)[0]
        if not isinstance(prompts, list | tuple):
            self.encode_prompt(prompts)  # says what was expected
        chosen = self._with(settings)
        if not prompts:
            return []
        ids = [self.encode_prompt(prompt) for prompt in prompts]
        return self._compiled().texts(ids, chosen, self.decode)

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Yields the continuation piece by piece, in whole characters.

        The pieces joined are what `generate` returns for the same settings.

        Raises:
            InputError: As for `generate`.
        """
        yield from self._stream(self.encode_prompt(prompt), settings)

    def chat(self, messages: Messages, **settings: Any) -> Iterator[str]:
        """Yields the reply to a conversation piece by piece.

        The reply ends with the model's turn. Append it to the messages as
        {"role": "assistant", "content": ...} to go on talking.

        Of a model that reasons first (gpt-oss) only the answer is shown:
        nothing, if `max_new_tokens` ends its turn before.

        Args:
            messages: Dictionaries with "role" ("system", "user",
                "assistant") and "content", the last one the user's; or one
                string, which is a user's message.
            **settings: As for `generate`.

        Raises:
            InputError: The model has no chat template, a message is not in
                its place, or the conversation does not fit the context.
        """
        template = required(self.chat_template)
        ids, _ = template.encode(self.tokenizer, messages, True)
        ends = all_end_ids(self.tokenizer, template, self.end_ids)
        pieces = self._stream(ids, settings, ends)
        yield from after(pieces, template.reply_start)

    def _stream(
        self,
        ids: list[int],
        settings: dict[str, Any],
        end_ids: tuple[int, ...] | None = None,
    ) -> Iterator[str]:
        chosen = self._with(settings)
        generator = self._compiled(end_ids)
        state = generator.start([ids], chosen)
        decoder = self.tokenizer.incremental_decoder()
        stops, sent = StopStream(chosen.stop), 0
        while True:
            row = generator.rows(state)[0]
            piece = stops.push(decoder.push(*self._known(row[sent:])))
            sent = len(row)
            if piece:
                yield piece
            if stops.stopped:
                return
            if state["done"].numpy()[0]:
                break
            most = int(state["count"]) + STREAM_TOKENS
            state = generator.advance(state, most)
        rest = stops.push(decoder.flush())
        rest += "" if stops.stopped else stops.flush()
        if rest:
            yield rest

    def score(self, text: str, calibrated: bool = False) -> np.ndarray:
        """Returns the log-probability of every token of a text.

        Args:
            text: At most as long as the context.
            calibrated: Whether logits are divided by `self.temperature`.

        Returns:
            float32 natural logarithms `(tokens,)`. Without a start id the
            first token has nothing before it and is left out.

        Raises:
            InputError: The text does not fit the context, or the model was
                not calibrated.
        """
        temperature = found_temperature(self.temperature) if calibrated else 1.0
        ids = self.encode_prompt(text)
        if len(ids) > self.config.context_length + 1:
            raise InputError(
                f"Expected at most {self.config.context_length} tokens. "
                f"Received: {len(ids) - 1}. Use "
                "keras_llm.evaluate.bits_per_byte for long texts."
            )
        if len(ids) < 2:
            return np.zeros(0, "float32")  # nothing but the start
        self._forget_other_adapters()
        if temperature not in self._scorers:
            self._scorers[temperature] = scorer(self.model, temperature)
        return self._scorers[temperature](np.array([ids], "int32"))[0]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns one vector for each text: the mean of its hidden states.

        Args:
            texts: A list of strings, each at most as long as the context.

        Returns:
            float32 `(texts, hidden_dim)`; see `keras_llm.embed.mean_hidden`.

        Raises:
            InputError: A text does not fit the context.
        """
        ids = [self.encode_prompt(text) for text in texts]
        longest = max(map(len, ids), default=0)
        if longest > self.config.context_length:
            raise InputError(
                f"Expected at most {self.config.context_length} tokens. "
                f"Received: {longest}. Cut the text into parts."
            )
        if not ids:
            return np.zeros((0, self.config.hidden_dim), "float32")
        self._forget_other_adapters()
        self._embedder = self._embedder or embedder(self.model)
        return self._embedder(ids)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes everything that `load` needs into a folder, whole or not.

        Args:
            folder: A new or empty folder, or an earlier saved model, which
                is replaced as a whole.

        Raises:
            InputError: The folder holds other files.
            OSError: The disk is full or not writable; what stood there
                before is untouched.
        """
        model_folder.write(self, folder)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike,
        dtype: str | None = "float32",
        **config_changes: Any,
    ) -> "CausalLM":
        """Reads what `save` wrote; the same greedy text comes out.

        Args:
            folder: The saved folder.
            dtype: Compute precision. Default: "float32", also for a model
                trained in mixed precision, whose weights are float32.
            **config_changes: A smaller `context_length`, and what else
                `keras_llm.model_folder.changed` allows.

        Raises:
            InputError: The folder is no saved model, a file is damaged, the
                tokenizer is not the one it was saved with, or a change does
                not fit the weights.
        """
        return cls(**model_folder.read(folder, dtype, config_changes))

    def replace(self, **parts: Any) -> "CausalLM":
        """Returns a language model with some parts replaced, all else kept.

        Another model is not calibrated, unless a temperature comes with it.

        Args:
            **parts: Arguments of `CausalLM`, for example `chat="chatml"`.
        """
        own = {
            "model": self.model,
            "tokenizer": self.tokenizer,
            "settings": self.settings,
            "chat": self.chat_template,
            "end_ids": self._given_ends,
            "starts": self.starts,
            "origin": self.origin,
            "temperature": None if "model" in parts else self.temperature,
        }
        return CausalLM(**(own | parts))

    def _with(self, changes: dict[str, Any]) -> GenerationSettings:
        return GenerationSettings.from_dict(
            {**self.settings.to_dict(), **changes}
        )

    def _known(self, ids: Iterable[int]) -> list[int]:
        """The ids that have a token."""
        return [i for i in ids if self.tokenizer.has_token(i)]

    def _compiled(
        self, end_ids: tuple[int, ...] | None = None
    ) -> TokenGenerator:
        """The compiled generator that stops at these ids."""
        self._forget_other_adapters()
        end_ids = self.end_ids if end_ids is None else end_ids
        if end_ids not in self._generators:
            self._generators[end_ids] = TokenGenerator(self.model, end_ids)
        return self._generators[end_ids]

    def _forget_other_adapters(self) -> None:
        """Drops what was compiled before an adapter was switched."""
        key = adapters.compiled_key(self.model)
        if key != self._compiled_with:
            self._generators, self._scorers = {}, {}
            self._embedder = None
        self._compiled_with = key
