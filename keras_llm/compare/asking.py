"""Asking a judge many questions: in parallel, once each, until readable."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeAlias

from keras_llm.compare.judge_log import JudgeLog
from keras_llm.compare.opening import ENDPOINT, open_subject, subject_kind
from keras_llm.compare.verdicts import REMINDER
from keras_llm.errors import InputError
from keras_llm.evaluate.subject import Prompt, Subject
from keras_llm.progress import track

BATCH = 32  # questions to a subject at a time; a kill loses no more
MAX_NEW_TOKENS = 1024

JudgeModel: TypeAlias = str | Subject | Callable[[str], str]
_Asked: TypeAlias = Callable[[Sequence[str]], Iterator[tuple[int, str]]]


class Judge:
    """A judge of any kind, with its log.

    Args:
        model: A function from a question to a reply, which is called from
            several threads; a `Subject`; or what `open_subject` opens, for
            example "http://localhost:8000/v1#gemma", which is asked in chats.
        log: JSON Lines file of all replies; what is in it is not asked again.
            It knows a function by its name, so a function that was changed
            needs another file. None for none.
        concurrency: Questions that are asked at the same time, of a function
            or an endpoint.
        retries: How often a judge is asked again for a mark, when its reply
            has none.

    Raises:
        InputError: The model is none of these, or the log is no log.

    Example:

    >>> judge = Judge(lambda question: "[[A]]")
    >>> judge.ask(["Which?"], read=len, about=[{}])
    ['[[A]]']
    """

    def __init__(
        self,
        model: JudgeModel,
        log: Any = None,
        concurrency: int = 4,
        retries: int = 1,
    ):
        if concurrency < 1 or retries < 0:
            raise InputError(
                "Expected a concurrency of at least 1 and no fewer than 0 "
                f"retries. Received: {concurrency} and {retries}."
            )
        self.name, self._identity, self._asked = _opened(model, concurrency)
        self._log, self._retries = JudgeLog(log), retries

    def ask(
        self,
        questions: Sequence[str],
        read: Callable[[str], Any],
        about: Sequence[Mapping[str, Any]],
        progress: bool = True,
    ) -> list[str]:
        """Returns the reply to each question, the last one where it took more.

        Args:
            questions: Whole questions.
            read: Of a reply; None says that it cannot be read.
            about: Fields for the log, for each question.
            progress: Whether a bar is shown.
        """
        replies = self._round(questions, about, progress)
        for attempt in range(1, self._retries + 1):
            dark = [n for n, reply in enumerate(replies) if read(reply) is None]
            again = self._round(
                [questions[n] + attempt * REMINDER for n in dark],
                [about[n] for n in dark],
                progress,
            )
            for n, reply in zip(dark, again, strict=True):
                replies[n] = reply
        return replies

    def _round(
        self,
        questions: Sequence[str],
        about: Sequence[Mapping[str, Any]],
        progress: bool,
    ) -> list[str]:
        """Asks what the log does not know; equal questions once."""
        places = {question: n for n, question in enumerate(questions)}
        new = [
            question
            for question in places
            if self._log.reply(self._identity, question) is None
        ]
        found = self._asked(new)
        for n, reply in (
            track(found, "judging", len(new)) if progress else found
        ):
            more = about[places[new[n]]]
            self._log.add(self._identity, new[n], reply, **more)
        known = [self._log.reply(self._identity, one) for one in questions]
        return [reply or "" for reply in known]


def _opened(model: JudgeModel, concurrency: int) -> tuple[str, str, _Asked]:
    """The judge's name, what the log knows it by, and how it is asked."""
    if isinstance(model, str):
        chats = subject_kind(model) == ENDPOINT
        options = {"chat": True, "concurrency": concurrency} if chats else {}
        model = open_subject(model, **options)
    if isinstance(model, Subject):
        return model.name, model.fingerprint, _subject_asked(model)
    if callable(model):
        name = getattr(model, "__qualname__", type(model).__qualname__)
        return name, name, _function_asked(model, concurrency)
    raise InputError(
        "Expected a judge: a function from a question to a reply, a Subject, "
        f"or an address. Received: {type(model).__name__}."
    )


def _subject_asked(subject: Subject) -> _Asked:
    def ask(questions: Sequence[str]) -> Iterator[tuple[int, str]]:
        for begin in range(0, len(questions), BATCH):
            prompts = [
                Prompt(question, max_new_tokens=MAX_NEW_TOKENS)
                for question in questions[begin : begin + BATCH]
            ]
            yield from enumerate(subject.generate(prompts), begin)

    return ask


def _function_asked(function: Callable[[str], str], concurrency: int) -> _Asked:
    def ask(questions: Sequence[str]) -> Iterator[tuple[int, str]]:
        with ThreadPoolExecutor(concurrency) as pool:
            tasks = {
                pool.submit(function, question): n
                for n, question in enumerate(questions)
            }
            try:
                for task in as_completed(tasks):
                    yield tasks[task], _checked(task.result())
            finally:  # after an error no other question is begun
                pool.shutdown(cancel_futures=True)

    return ask


def _checked(reply: Any) -> str:
    if not isinstance(reply, str):
        raise InputError(
            f"Expected a text as the judge's reply. Received: {reply!r:.60}."
        )
    return reply
