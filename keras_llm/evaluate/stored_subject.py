"""A model that is never asked twice, for long evaluations."""

import os
from collections.abc import Sequence
from typing import Any

from keras_llm.evaluate.harness.asking import ask
from keras_llm.evaluate.harness.items import Request
from keras_llm.evaluate.harness.store import AnswerStore
from keras_llm.evaluate.subject import (
    Continuation,
    Likelihood,
    Prompt,
    ScoredTokens,
    Subject,
)
from keras_llm.progress import track

AT_ONCE = 512


class StoredSubject:
    """A `Subject` whose answers are kept on disk: a killed run resumes.

    Requests go to the model in chunks, with a bar; each chunk is on the disk
    before the next is asked. Scores by token are not kept: they are asked
    anew.

    Args:
        subject: The model.
        path: A file or folder of answers; several models may share it.
        progress: Whether a bar is shown.

    Raises:
        InputError: The file is another program's, or damaged.

    Example:

    >>> class Sure:
    ...     name, fingerprint = "sure", "1"
    ...     def rolling(self, texts):
    ...         print("asked", texts)
    ...         return [-1.0 for _ in texts]
    >>> import tempfile
    >>> subject = StoredSubject(Sure(), tempfile.mkdtemp())
    >>> subject.rolling(["a", "a"]), subject.rolling(["a"])
    asked ['a']
    ([-1.0, -1.0], [-1.0])
    """

    def __init__(
        self, subject: Subject, path: str | os.PathLike, progress: bool = True
    ):
        self.name, self.fingerprint = subject.name, subject.fingerprint
        self._subject, self._path = subject, path
        self._progress = progress

    def __getattr__(self, name: str) -> Any:
        """What only some kinds of model have: `lm`, `chat_prompt`, ..."""
        return getattr(self._subject, name)

    def likelihoods(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """Returns how likely each continuation is after its context."""
        return self._asked(requests)

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Returns each whole text's log-probability in nats."""
        return self._asked(texts)

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Returns the answers, without the prompts and the stop strings."""
        return self._asked(prompts)

    def token_scores(self, texts: Sequence[str]) -> list[ScoredTokens]:
        """Returns each text's tokens with their log-probabilities, unkept."""
        return self._subject.token_scores(texts)

    def _asked(self, requests: Sequence[Request]) -> list[Any]:
        chunks = [
            requests[begin : begin + AT_ONCE]
            for begin in range(0, len(requests), AT_ONCE)
        ]
        total = len(requests)
        steps = (
            track(chunks, "asking", total, len) if self._progress else chunks
        )
        found: dict[Request, Any] = {}
        with AnswerStore(self._path, self.fingerprint) as store:
            for chunk in steps:
                found |= ask(self._subject, chunk, store, progress=False)
        return [found[request] for request in requests]
