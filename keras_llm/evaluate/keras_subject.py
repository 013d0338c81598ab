"""Our own language models as subjects of an evaluation."""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from keras_llm.conversation import required
from keras_llm.evaluate.pairs_rule import Window
from keras_llm.evaluate.subject import Prompt
from keras_llm.evaluate.token_subject import TokenSubject
from keras_llm.evaluate.window_subject import BATCH_TOKENS, Scores
from keras_llm.tokenizers.chat import Messages

DECODED = 4  # times batch_tokens: tokens in the caches of a decoded batch


class KerasSubject(TokenSubject):
    """A `CausalLM` that is evaluated, by the rules of the harness.

    Requests that begin alike are read once (see `WindowScorer`): the choices
    of a question, examples before many questions.

    It is a snapshot: `fingerprint` says how the model was when the subject
    was made. After more training or another adapter, make a new one.

    Args:
        lm: A `CausalLM`.
        name: What reports call it. Default: the repository that the weights
            came from, or else their family, or else "model".
        batch_tokens: Tokens computed at once, padding included.
        shared_prefix: Whether what requests share is read once.

    Raises:
        InputError: When it is asked: a request does not fit the model (see
            `Subject`), or the model's adapters are not those it had.

    Source: `HFLM` of the lm-evaluation-harness,
    https://github.com/EleutherAI/lm-evaluation-harness.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.evaluate import Continuation
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> subject = KerasSubject(CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=261, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), HostTokenizer.train(["a"], 261)))
    >>> subject.likelihoods([Continuation("a rose", " is")])[0].greedy
    False
    """

    def __init__(
        self,
        lm: Any,
        name: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
        shared_prefix: bool = True,
    ):
        from keras_llm.evaluate.window_scores import WindowScorer

        super().__init__(
            name or lm.origin.repo or lm.origin.family or "model",
            fingerprint_of(lm),
            lm.config.context_length,
            lm.tokenizer,
            lm.start_id,
            batch_tokens,
        )
        self.lm = lm
        self._scorer = WindowScorer(lm.model, batch_tokens, shared_prefix)

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores any number of windows, in batches of its own."""
        return self._scorer(windows)

    _scored = score

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """As `Subject.generate`; special tokens are left out."""
        self._scorer.check_adapters()
        rows = [self.prompt_ids(prompt) for prompt in prompts]
        texts = [""] * len(prompts)
        sizes = [
            len(row) + prompt.max_new_tokens
            for row, prompt in zip(rows, prompts, strict=True)
        ]
        for batch in _batches(sizes, DECODED * self._batch_tokens):
            found = self._generator.texts(
                [rows[index] for index in batch],
                [_settings(prompts[index]) for index in batch],
                self.lm.decode,
            )
            for index, text in zip(batch, found, strict=True):
                texts[index] = self.without_special(text)
        return texts

    def chat_prompt(self, messages: Messages) -> str:
        """Returns a conversation as the text before the model's reply.

        Raises:
            InputError: The model has no chat template, or a message is not
                in its place.
        """
        template = required(self.lm.chat_template)
        return template.render(messages, add_generation_prompt=True)

    @functools.cached_property
    def _generator(self) -> Any:
        from keras_llm.generate import TokenGenerator

        return TokenGenerator(self.lm.model, self.lm.end_ids)


def fingerprint_of(lm: Any) -> str:
    """Returns a hash of all that a `CausalLM`'s answers depend on.

    That is its config, precision, weights, active adapter and tokenizer, and
    what starts and ends a text. All weights are read, which takes about a
    second for a gigabyte.

    Args:
        lm: A `CausalLM`.

    Returns:
        64 hexadecimal digits.

    Example: see `KerasSubject`.
    """
    from keras import ops

    from keras_llm import adapters

    model = lm.model
    about = {
        "config": lm.config.to_dict(),
        "precision": model.dtype_policy.name,
        "adapter": [adapters.version(model), adapters.is_merged(model)],
        "tokenizer": lm.tokenizer.fingerprint,
        "starts": [lm.start_id, *lm.end_ids],
        "weights": [
            [w.path, str(w.dtype), list(w.shape)] for w in model.weights
        ],
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for weight in model.weights:
        digest.update(ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()


def _settings(prompt: Prompt) -> Any:
    from keras_llm.sampling import GenerationSettings

    return GenerationSettings(
        max_new_tokens=prompt.max_new_tokens,
        temperature=prompt.temperature,
        stop=tuple(text for text in prompt.until if text),
        seed=prompt.seed,
    )


def _batches(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices of rows that are decoded together, the largest first."""
    order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    while order:
        rows = max(1, most // sizes[order[0]])
        yield order[:rows]
        order = order[rows:]
