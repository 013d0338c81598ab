"""Generator: one way to ask any model, and nothing asked twice."""

import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.compare.judge_log import JudgeLog
from keras_llm.synthesize.asked import Answer, Asked, Model, asked_of
from keras_llm.synthesize.settings import DEFAULTS, SynthesisSettings


@dataclasses.dataclass
class Usage:
    """What was asked, each question once.

    Attributes:
        questions: How many.
        tokens_in: Tokens of the questions.
        tokens_out: Tokens of the answers.
        uncounted: Questions whose tokens nobody counted.

    Example:

    >>> Usage(2, tokens_in=1_000_000, tokens_out=500_000).cost(1.0, 4.0)
    3.0
    """

    questions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0

    def add(self, answer: Answer) -> None:
        """Counts an answer."""
        self.questions += 1
        if answer.tokens_in is None or answer.tokens_out is None:
            self.uncounted += 1
        self.tokens_in += answer.tokens_in or 0
        self.tokens_out += answer.tokens_out or 0

    def cost(self, price_in: float, price_out: float) -> float:
        """Returns what it cost, at prices of a million tokens."""
        return (
            self.tokens_in * price_in + self.tokens_out * price_out
        ) / 1_000_000


class Generator:
    """Any model that answers questions, with a log of its answers.

    Args:
        model: One of

            - an OpenAI-compatible address, `http://HOST:PORT/v1#MODEL`, asked
              in chats; the key is the environment's OPENAI_API_KEY,
            - all else that `compare.open_subject` opens: a `CausalLM`, a
              model folder, an artifact; asked by its chat template if it has
              one, else the question is the text that is continued,
            - a function from a question to an answer, called from threads.
        settings: How it is asked.
        log: JSON Lines file of all answers; what is in it is not asked again.
            It knows a function by its name, so a function that was changed
            needs another file. None for none.

    Attributes:
        name: What reports call it.
        usage: What was asked in all, answers of the log included.
        new: How many questions were asked now and not found in the log.

    Raises:
        InputError: The model cannot be opened, or the log is no log.

    Example:

    >>> echo = Generator(str.upper)
    >>> [answer.text for answer in echo.ask(["a rose", "is"])]
    ['A ROSE', 'IS']
    """

    def __init__(
        self,
        model: Model,
        settings: SynthesisSettings = DEFAULTS,
        log: str | os.PathLike | JudgeLog | None = None,
    ):
        self._settings = settings
        self._asked: Asked = asked_of(model, self._settings.concurrency)
        self._log = log if isinstance(log, JudgeLog) else JudgeLog(log)
        self._lock = threading.Lock()
        self._counted: set[tuple[str, str]] = set()
        self.name, self.usage, self.new = self._asked.name, Usage(), 0

    def ask(
        self,
        prompts: Sequence[str],
        what: str = "asking",
        about: Sequence[Mapping[str, Any]] = (),
        **changes: Any,
    ) -> list[Answer]:
        """Returns the answer to each prompt; equal ones are asked once.

        Args:
            prompts: Whole questions.
            what: The word before the bar.
            about: Fields for the log, for each prompt.
            **changes: Of the settings, for these prompts: `temperature`,
                `max_new_tokens`, `seed`.

        Raises:
            InputError: The server cannot be reached, or asks for a key.
        """
        how = dataclasses.replace(self._settings, **changes)
        one = self._identity(how)
        places = {prompt: n for n, prompt in enumerate(prompts)}
        new = [p for p in places if self._log.fields(one, p) is None]
        refused: dict[str, Answer] = {}

        def keep(number: int, answer: Answer) -> None:
            prompt = new[number]
            with self._lock:
                self.new += 1
                if answer.refused:  # another day it may be taken
                    refused[prompt] = answer
                    return
                fields = dataclasses.asdict(answer)
                more = about[places[prompt]] if about else {}
                kept = {k: fields[k] for k in ("tokens_in", "tokens_out")}
                kept |= {"cut": True} if answer.cut else {}
                self._log.add(one, prompt, answer.text, **more, **kept)

        if new:
            self._asked(new, how, keep, what)
        found = {
            prompt: refused.get(prompt) or self._known(one, prompt)
            for prompt in places
        }
        self._count(one, found)
        return [found[prompt] for prompt in prompts]

    def _known(self, identity: str, prompt: str) -> Answer:
        fields = self._log.fields(identity, prompt) or {}
        return Answer(
            fields["reply"],
            fields.get("tokens_in"),
            fields.get("tokens_out"),
            fields.get("cut", False),
        )

    def _count(self, identity: str, found: Mapping[str, Answer]) -> None:
        for prompt, answer in found.items():
            if (identity, prompt) not in self._counted:
                self._counted.add((identity, prompt))
                self.usage.add(answer)

    def _identity(self, how: SynthesisSettings) -> str:
        """What the log knows answers by: the model, and how it was asked."""
        drawn = f" seed={how.seed}" if how.temperature else ""
        return (
            f"{self._asked.identity} temperature={how.temperature:g}"
            f" max_new_tokens={how.max_new_tokens}{drawn}"
        )
