"""What the evaluator asks of a model, whatever the model is made of.

Benchmarks, bias probes and comparisons ask three questions. A decoder of ours,
a Hugging Face folder, a SavedModel and an endpoint each answer them in a
class of their own; a test answers them from a dictionary.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Continuation(NamedTuple):
    """A text, and what might follow it.

    Attributes:
        context: What is given; may be empty.
        continuation: What is scored, its leading space included.

    Example:

    >>> Continuation("The sky is", " blue").continuation
    ' blue'
    """

    context: str
    continuation: str


class Likelihood(NamedTuple):
    """How likely a continuation is.

    Attributes:
        total: Sum of the log-probabilities of its tokens, in nats.
        greedy: Whether each of its tokens is the likeliest one there.

    Example:

    >>> Likelihood(-1.5, False).total
    -1.5
    """

    total: float
    greedy: bool


class Prompt(NamedTuple):
    """A text to be continued.

    Attributes:
        context: What is given.
        until: Strings that end the answer and are not part of it.
        max_new_tokens: Most tokens of the answer.
        temperature: 0 takes the likeliest token.
        seed: Of the drawing, where the temperature is above 0.

    Example:

    >>> Prompt("Question: 1 + 1?\\nAnswer:", ("\\n",)).max_new_tokens
    256
    """

    context: str
    until: tuple[str, ...] = ()
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


class ScoredTokens(NamedTuple):
    """A text token by token.

    Attributes:
        tokens: The tokens as text; joined they are about the text.
        log_probabilities: float64 `(tokens,)`, in nats; NaN for a first token
            that nothing predicts.

    Example:

    >>> ScoredTokens(["a", " rose"], np.array([-1.0, -2.0])).tokens
    ['a', ' rose']
    """

    tokens: list[str]
    log_probabilities: np.ndarray


@runtime_checkable
class Subject(Protocol):
    """A model that is evaluated.

    Every method takes any number of requests, batches them as it likes, and
    answers in the order of the requests. A method that a kind of model has no
    answer to raises an `InputError` that says so.

    Attributes:
        name: What reports call it.
        fingerprint: Changes whenever the answers could (weights, tokenizer,
            adapter, precision); stored answers are kept under it.

    Example:

    >>> class Silent:
    ...     name, fingerprint = "silent", "1"
    ...     def likelihoods(self, requests):
    ...         return [Likelihood(0.0, False) for _ in requests]
    ...     def rolling(self, texts):
    ...         return [0.0 for _ in texts]
    ...     def generate(self, prompts):
    ...         return ["" for _ in prompts]
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens([], np.zeros(0)) for _ in texts]
    >>> isinstance(Silent(), Subject)
    True
    """

    name: str
    fingerprint: str

    def likelihoods(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """Returns how likely each continuation is after its context.

        The rules are the lm-evaluation-harness's: spaces that end a context
        move to the continuation; both are encoded together and cut where the
        context's own tokens end; an empty context is the start token; too
        long a context loses its beginning.

        Raises:
            InputError: A continuation alone is longer than the model reads.
        """
        ...

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns each whole text's log-probability in nats.

        Any length: see `evaluate.rolling_windows`.
        """
        ...

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Returns the answers, without the prompts and the stop strings."""
        ...

    def token_scores(self, texts: Sequence[str]) -> list[ScoredTokens]:
        """Returns each text's tokens with their log-probabilities."""
        ...


def total_nats(scored: Iterable[ScoredTokens]) -> float:
    """Returns the log-probability of all scored tokens together.

    Example:

    >>> total_nats([ScoredTokens(["a", "b"], np.array([np.nan, -2.0]))])
    -2.0
    """
    return float(sum(np.nansum(one.log_probabilities) for one in scored))
