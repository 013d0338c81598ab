"""How models of each kind are asked: an address, a model here, a function."""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

from keras_llm.compare.endpoint_client import Endpoint, said
from keras_llm.compare.opening import ENDPOINT, open_subject, subject_kind
from keras_llm.data.document import whole
from keras_llm.errors import InputError
from keras_llm.evaluate.subject import Prompt, Subject
from keras_llm.progress import track

ROWS = 8  # prompts to a model here at a time; a kill loses no more
TOO_LONG = "the question is longer than the model's context"

Model: TypeAlias = str | Subject | Callable[[str], str] | Any


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        text: The answer, "" where it was refused.
        tokens_in: Tokens of the question; None where nobody counted them.
        tokens_out: Tokens of the answer; None where nobody counted them.
        cut: Whether it ended at the limit of tokens.
        refused: Why there is no answer, in the server's words.

    Example:

    >>> Answer("Yes.").cut
    False
    """

    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    cut: bool = False
    refused: str = ""


class Sampling(Protocol):
    """What of `SynthesisSettings` an answer depends on."""

    @property
    def temperature(self) -> float:
        """Returns the temperature; 0 takes the likeliest token."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Returns the most tokens of an answer."""
        ...

    @property
    def seed(self) -> int:
        """Returns the seed of the drawing."""
        ...


Keep: TypeAlias = Callable[[int, Answer], None]
"""Takes the number of a prompt and its answer, from any thread."""


class Asked(Protocol):
    """A model that answers prompts.

    Attributes:
        name: What reports call it.
        identity: Tells it from other models in a log.
    """

    name: str
    identity: str

    def __call__(
        self, prompts: Sequence[str], how: Sampling, keep: Keep, what: str
    ) -> None:
        """Hands every answer to `keep` as soon as it is there."""
        ...


def asked_of(model: Model, concurrency: int) -> Asked:
    """Returns how a model is asked; see `Generator` for what it may be.

    Raises:
        InputError: It is nothing that can be asked.

    Example:

    >>> asked_of(str.upper, 1).name
    'str.upper'
    """
    if isinstance(model, str) and subject_kind(model) == ENDPOINT:
        return _Address(model, concurrency)
    if callable(model) and not isinstance(model, Subject):
        # A `CausalLM` is no function; a function is no path.
        return _Function(model, concurrency)
    subject = model if isinstance(model, Subject) else open_subject(model)
    return _Local(subject)


class _Address:
    """A model behind an OpenAI-compatible address, asked in chats."""

    def __init__(self, address: str, concurrency: int):
        self._endpoint = Endpoint(address, concurrency=concurrency)
        self.name = self._endpoint.model
        self.identity = f"{self._endpoint.address}#{self.name}"

    def __call__(
        self, prompts: Sequence[str], how: Sampling, keep: Keep, what: str
    ) -> None:
        def call(number: int) -> Callable[[Any], None]:
            return lambda client: keep(
                number, self._answer(client, prompts[number], how)
            )

        self._endpoint.many([call(n) for n in range(len(prompts))], what)

    def _answer(self, client: Any, prompt: str, how: Sampling) -> Answer:
        import openai

        try:
            reply = client.chat.completions.create(
                model=self.name,
                messages=[{"role": "user", "content": prompt}],
                max_tokens=how.max_new_tokens,
                temperature=how.temperature,
                seed=how.seed,
            )
        except openai.BadRequestError as error:  # of this prompt alone
            return Answer("", refused=said(error))
        choice, usage = reply.choices[0], reply.usage
        return Answer(
            whole(choice.message.content or ""),
            tokens_in=usage.prompt_tokens if usage else None,
            tokens_out=usage.completion_tokens if usage else None,
            cut=choice.finish_reason == "length",
        )


class _Local:
    """A model here: a `Subject`, asked by its chat template if it has one."""

    def __init__(self, subject: Subject):
        self._subject = subject
        self.name, self.identity = subject.name, subject.fingerprint

    def __call__(
        self, prompts: Sequence[str], how: Sampling, keep: Keep, what: str
    ) -> None:
        asked = [
            Prompt(
                self._written(prompt),
                max_new_tokens=how.max_new_tokens,
                temperature=how.temperature,
                # Of the prompt, not its place: a resumed run draws the same.
                seed=(how.seed + zlib.crc32(prompt.encode())) % 2**31,
            )
            for prompt in prompts
        ]
        sizes = [self._size("encode", prompt.context) for prompt in asked]
        room = getattr(self._subject, "context_length", None)
        fits = []
        for number, size in enumerate(sizes):
            if room and size and size + how.max_new_tokens > room:
                keep(number, Answer("", tokens_in=size, refused=TOO_LONG))
            else:
                fits.append(number)
        batches = [fits[at : at + ROWS] for at in range(0, len(fits), ROWS)]
        for batch in track(batches, what, len(fits), len):
            texts = self._subject.generate([asked[n] for n in batch])
            for number, text in zip(batch, texts, strict=True):
                keep(number, self._answer(text, sizes[number], how))

    def _written(self, prompt: str) -> str:
        lm = getattr(self._subject, "lm", None)
        write = getattr(self._subject, "chat_prompt", None)
        if write is None or lm is not None and lm.chat_template is None:
            return prompt
        return write([{"role": "user", "content": prompt}])

    def _answer(self, text: str, asked: int | None, how: Sampling) -> Answer:
        size = self._size("text_ids", text)
        if size is None:
            return Answer(whole(text), asked)
        # Broken bytes were fewer tokens than what they are shown as.
        cut = size >= how.max_new_tokens
        return Answer(whole(text), asked, min(size, how.max_new_tokens), cut)

    def _size(self, encoder: str, text: str) -> int | None:
        encode = getattr(self._subject, encoder, None)
        return None if encode is None else len(encode(text))


class _Function:
    """A function from a question to an answer, called from threads."""

    def __init__(self, function: Callable[..., Any], concurrency: int):
        kind = type(function).__qualname__
        self.name = getattr(function, "__qualname__", kind)
        self.identity = self.name
        self._function, self._concurrency = function, concurrency

    def __call__(
        self, prompts: Sequence[str], how: Sampling, keep: Keep, what: str
    ) -> None:
        def one(number: int) -> None:
            reply = self._function(prompts[number])
            if not isinstance(reply, str):
                raise InputError(
                    f"Expected a text from {self.name}. Received: "
                    f"{reply!r:.60}."
                )
            keep(number, Answer(whole(reply)))

        with ThreadPoolExecutor(self._concurrency) as pool:
            done = pool.map(one, range(len(prompts)))
            for _ in track(done, what, len(prompts)):
                pass
