"""What subjects share whose texts become ids by a tokenizer of ours."""

from collections.abc import Sequence
from typing import Any

from keras_llm.evaluate.window_subject import BATCH_TOKENS, WindowSubject


class TokenSubject(WindowSubject):
    """A `WindowSubject` with one of this library's tokenizers.

    Special tokens spelled in a context or a continuation become their ids, as
    in the harness, so that a chat template works; in a text for `rolling` and
    `token_scores` they stay text, as in training.

    Args:
        name: What reports call it.
        fingerprint: Of everything that the answers depend on.
        context_length: Most tokens that the model reads.
        tokenizer: The tokenizer.
        start_id: The id put before every prompt, or None.
        batch_tokens: Tokens computed at once, padding included.

    Example: see `KerasSubject`.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        context_length: int,
        tokenizer: Any,
        start_id: int | None,
        batch_tokens: int = BATCH_TOKENS,
    ):
        bos, eos = tokenizer.bos_id, tokenizer.eos_id
        start = eos if bos is None else bos
        super().__init__(name, fingerprint, context_length, start, batch_tokens)
        self.tokenizer, self._start_id = tokenizer, start_id

    def encode(self, text: str) -> list[int]:
        """Returns ids, the model's start token first, but not twice."""
        ids = self.tokenizer.encode(text, allowed_special="all")
        start = self._start_id
        return ids if start in (None, *ids[:1]) else [start, *ids]

    def text_ids(self, text: str) -> list[int]:
        """Returns a text's ids without a start token."""
        return self.tokenizer.encode(text, disallowed_special=())

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Returns each id's text; a character stands at its last token."""
        decoder = self.tokenizer.incremental_decoder()
        texts = [decoder.push(one) for one in ids]
        rest = decoder.flush()
        return [*texts[:-1], texts[-1] + rest] if texts else []

    def without_special(self, text: str) -> str:
        """Returns a text without the special tokens spelled in it."""
        for token in self.tokenizer.special_tokens:
            text = text.replace(token, "")
        return text
