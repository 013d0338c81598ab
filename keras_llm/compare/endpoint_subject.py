"""A model behind an OpenAI-compatible address as a subject."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.compare.endpoint_client import Endpoint, Refused
from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import move_spaces
from keras_llm.evaluate.subject import (
    Continuation,
    Likelihood,
    Prompt,
    ScoredTokens,
)
from keras_llm.stopping import cut

TEXTS = 16  # in one request
MOST_STOPS = 4  # that OpenAI takes; more are looked for here
OURS = "keras_llm"  # as which our own server's models are owned


class Echo(NamedTuple):
    """A text as a server read it.

    Attributes:
        tokens: Its tokens as text.
        log_probabilities: `(tokens,)`, NaN where nothing predicts one.
        likeliest: bool `(tokens,)`.
        offsets: Where each token begins, in characters.

    Example:

    >>> Echo(["a"], np.array([-1.0]), np.array([True]), [0]).offsets
    [0]
    """

    tokens: list[str]
    log_probabilities: np.ndarray
    likeliest: np.ndarray
    offsets: list[int]


class EndpointSubject:
    """A model behind an address that speaks OpenAI's API.

    Likelihoods are read from completions with `echo` and `logprobs`, which
    our own server and vLLM answer, and many others refuse. The server cuts
    texts into tokens, so the border between a context and its continuation is
    found by characters, and what is too long for the model is refused.

    Args:
        address: `http://HOST:PORT/v1#MODEL`.
        name: What reports call it. Default: the address.
        key: The server's key. Default: the environment's OPENAI_API_KEY.
        chat: Whether prompts are sent as a user's message to
            `/chat/completions`; likelihoods are refused then.
        timeout: Seconds to wait for an answer.
        retries: How often a call is repeated.
        concurrency: Calls under way at once.

    Attributes:
        fingerprint: Of the address and the model's name: what stands behind
            them is not seen. Of our own server also when it was started.

    Raises:
        InputError: As for `endpoint_client.Endpoint`.

    Example:

    >>> EndpointSubject("localhost:8000")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected an address as http://HOST:PORT/v1...
    """

    def __init__(
        self,
        address: str,
        name: str | None = None,
        key: str | None = None,
        chat: bool = False,
        timeout: float = 120.0,
        retries: int = 5,
        concurrency: int = 8,
    ):
        self._endpoint = Endpoint(address, key, timeout, retries, concurrency)
        self.name, self._chat = name or address, chat
        self._new: int | None = None  # tokens to ask for beside an echo
        self.fingerprint = _fingerprint(self._endpoint, chat)

    def likelihoods(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """As `Subject.likelihoods`; too long a text is refused, not cut."""
        moved = [move_spaces(*request) for request in requests]
        found = self._echoes([context + rest for context, rest in moved])
        return [
            _likelihood(echo, *pair)
            for echo, pair in zip(found, moved, strict=True)
        ]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """As `Subject.rolling`, for texts that fit the model's context."""
        found = self._echoes(texts)
        if any(np.isnan(one.log_probabilities).any() for one in found):
            raise InputError(
                f"Expected {self.name} to say how likely a text's first token "
                "is. Received: nothing for it, as of a model without a start "
                "token. Bits per byte would not compare: use likelihoods."
            )
        return [float(one.log_probabilities.sum()) for one in found]

    def token_scores(self, texts: Sequence[str]) -> list[ScoredTokens]:
        """As `Subject.token_scores`, for texts that fit the context."""
        return [
            ScoredTokens(one.tokens, one.log_probabilities)
            for one in self._echoes(texts)
        ]

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """As `Subject.generate`; a long prompt is cut or refused there."""
        calls = [self._completion(prompt) for prompt in prompts]
        found = self._endpoint.many(calls, "generating")
        return [
            cut(text, prompt.until)[0]
            for text, prompt in zip(found, prompts, strict=True)
        ]

    def _completion(self, prompt: Prompt) -> Callable[[Any], str]:
        """The call that continues a prompt."""
        given: dict[str, Any] = {
            "model": self._endpoint.model,
            "max_tokens": prompt.max_new_tokens,
            "temperature": prompt.temperature,
            "seed": prompt.seed,
        }
        if prompt.until:
            given["stop"] = list(prompt.until[:MOST_STOPS])

        def chat(client: Any) -> str:
            messages = [{"role": "user", "content": prompt.context}]
            create = client.chat.completions.create
            answer = create(messages=messages, **given)
            return answer.choices[0].message.content or ""

        def complete(client: Any) -> str:
            create = client.completions.create
            return create(prompt=prompt.context, **given).choices[0].text

        return chat if self._chat else complete

    def _echoes(self, texts: Sequence[str]) -> list[Echo]:
        """Texts as the server reads them; equal ones are asked once."""
        if self._chat:
            raise InputError(
                "Expected tasks that ask for answers, because a chat gives no "
                f"likelihoods of a text. Received: {self.name} with "
                "chat=True. Open it without."
            )
        unique = list(dict.fromkeys(text for text in texts if text))
        if unique and self._new is None:
            self._new = self._answers(unique[0])
        calls = [
            self._echo(unique[begin : begin + TEXTS], self._new or 0)
            for begin in range(0, len(unique), TEXTS)
        ]
        found = dict(
            zip(
                unique,
                _chained(self._endpoint.many(calls, "scoring")),
                strict=True,
            )
        )
        found[""] = Echo([], np.zeros(0), np.zeros(0, bool), [])
        return [found[text] for text in texts]

    def _answers(self, text: str) -> int:
        """How many new tokens the server wants beside an echo: 0 or 1."""
        refusal: Any = "no log-probabilities."
        for new in (0, 1):
            try:
                self._endpoint.many([self._echo([text], new)], "")
                return new
            except Refused as error:
                refusal = error
        raise InputError(
            f"Expected {self.name} to answer completions with echo and "
            f"logprobs, for likelihoods. Received: {refusal} Ask it for tasks "
            "that generate, or serve the model with `keras-llm serve`."
        )

    def _echo(
        self, texts: Sequence[str], new: int
    ) -> Callable[[Any], list[Echo]]:
        """The call that has texts read."""

        def call(client: Any) -> list[Echo]:
            answer = client.completions.create(
                model=self._endpoint.model,
                prompt=list(texts),
                max_tokens=new,
                temperature=0,
                logprobs=1,
                echo=True,
            )
            choices = sorted(answer.choices, key=lambda choice: choice.index)
            return [
                _read(choice.logprobs, text)
                for choice, text in zip(choices, texts, strict=True)
            ]

        return call


def _read(found: Any, text: str) -> Echo:
    """What a server says of a text, without a start token and new ones."""
    if found is None or not found.token_logprobs or not found.top_logprobs:
        raise Refused("an answer without log-probabilities of the prompt.")
    tokens, offsets = found.tokens, found.text_offset
    begin, shift = 0, 0
    started = found.token_logprobs[0] is None and not text.startswith(tokens[0])
    if started:  # the first token is none of the text's
        begin = 1
        shift = offsets[1] if len(offsets) > 1 else 0
    kept = [
        place
        for place in range(begin, len(tokens))
        if offsets[place] - shift < len(text)
    ]
    values = [found.token_logprobs[place] for place in kept]
    best = [max((found.top_logprobs[p] or {0: np.nan}).values()) for p in kept]
    own = np.array([np.nan if v is None else v for v in values], "float64")
    return Echo(
        [tokens[place] for place in kept],
        own,
        own >= np.array(best, "float64"),
        [offsets[place] - shift for place in kept],
    )


def _likelihood(echo: Echo, context: str, continuation: str) -> Likelihood:
    """How likely the tokens are that begin behind a context."""
    scored = np.array(echo.offsets, int) >= len(context)
    values = echo.log_probabilities[scored]
    if not len(values) or np.isnan(values).any():
        raise InputError(
            "Expected a continuation with tokens of its own, and something "
            "before them that predicts the first one. Received: "
            f"{continuation!r:.60} after {context[-40:]!r}. Leave this item "
            "out, or give it a context."
        )
    return Likelihood(float(values.sum()), bool(echo.likeliest[scored].all()))


def _chained(parts: Iterable[list[Echo]]) -> list[Echo]:
    return [one for part in parts for one in part]


def _fingerprint(endpoint: Endpoint, chat: bool) -> str:
    details = endpoint.details
    ours = getattr(details, "owned_by", "") == OURS
    begun = details.created if ours else None
    said = repr((endpoint.address, endpoint.model, chat, begun))
    return hashlib.sha256(said.encode()).hexdigest()[:32]
