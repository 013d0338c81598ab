"""Writing answers in OpenAI's shapes, at once or part by part."""

import abc
from collections.abc import AsyncIterator, Sequence
from typing import Any

from keras_llm.export.server import answers, schemas
from keras_llm.export.server.asked import Ask
from keras_llm.export.server.engine import Token
from keras_llm.export.server.feedback_api import answer_id
from keras_llm.export.server.row_text import (
    FILTERED,
    LENGTH,
    STOP,
    Piece,
    joined,
)
from keras_llm.export.server.running import Running, Service
from keras_llm.feedback import Answer

Object = dict[str, Any]


class Writer(abc.ABC):
    """The writer of one answer.

    Args:
        service: What the server shares.
        body: The request.
        asks: The texts that it asks for.
        kind: What OpenAI calls the answer.

    Attributes:
        asks: The texts that are to be continued; none, if nothing is.
    """

    def __init__(
        self,
        service: Service,
        body: schemas.Sampling,
        asks: Sequence[Ask],
        kind: str,
    ):
        engine = service.engine
        self.asks, self._all = list(asks), list(asks)
        self._host, self._service = engine.host, service
        self._head = answers.Head(kind, service.name, engine.version)
        self._with_usage = bool(
            body.stream_options and body.stream_options.include_usage
        )
        prompts = asks[:: body.n or 1]  # a prompt counts once
        self._prompt_tokens = sum(len(ask.prompt) for ask in prompts)

    async def whole(self, running: Running | None) -> Object:
        """Waits for all texts; returns the answer."""
        found: list[list[Piece]] = [[] for _ in self._all]
        async for index, piece in self._pieces(running):
            found[index].append(piece)
        whole = [joined(pieces) for pieces in found]
        self._remember(whole)
        choices = [
            self._choice(index, piece) for index, piece in enumerate(whole)
        ]
        count = sum(piece.count for piece in whole)
        usage = answers.usage(self._prompt_tokens, count)
        return self._head.whole(choices, usage)

    async def parts(self, running: Running | None) -> AsyncIterator[Object]:
        """Yields the parts of a streamed answer."""
        count, found = 0, [[Piece()] for _ in self._all]
        for index in range(len(self._all)):
            for choice in self._opening(index):
                yield self._head.part([choice])
        async for index, piece in self._pieces(running):
            count += piece.count
            found[index].append(piece)
            if piece.reason:
                self._remember([joined(pieces) for pieces in found], index)
            if piece.text or piece.tokens or piece.reason:
                yield self._head.part([self._delta(index, piece)])
        if self._with_usage:
            usage = answers.usage(self._prompt_tokens, count)
            yield self._head.part([], usage=usage)

    def _remember(
        self, pieces: Sequence[Piece], only: int | None = None
    ) -> None:
        """Keeps answers for feedback on them."""
        if self._service.recent is None:
            return
        for index, piece in enumerate(pieces):
            ask = self._all[index]
            if piece.reason != FILTERED and only in (None, index):
                self._service.recent.remember(
                    Answer(
                        id=answer_id(self._head.id, index),
                        prompt=ask.source,
                        text=piece.text,
                        model=self._head.fingerprint,
                        adapter=self._service.engine.adapter,
                        settings=ask.settings.to_dict(),
                    )
                )

    async def _pieces(
        self, running: Running | None
    ) -> AsyncIterator[tuple[int, Piece]]:
        if running is None:
            for index in range(len(self._all)):
                yield index, Piece(reason=LENGTH)
            return
        async for index, piece in running:
            yield index, piece

    @abc.abstractmethod
    def _choice(self, index: int, piece: Piece) -> Object:
        """A whole text."""

    @abc.abstractmethod
    def _delta(self, index: int, piece: Piece) -> Object:
        """A part of a text."""

    def _opening(self, index: int) -> list[Object]:
        """What comes before the first part."""
        return []


class ChatWriter(Writer):
    """The writer of a chat's replies.

    Args:
        service: What the server shares.
        body: The request.
        asks: The replies that it asks for.
    """

    def __init__(
        self, service: Service, body: schemas.ChatRequest, asks: Sequence[Ask]
    ):
        super().__init__(service, body, asks, "chat.completion")
        self._logprobs = bool(body.logprobs)
        self._top = body.top_logprobs or 0

    def _choice(self, index: int, piece: Piece) -> Object:
        message = {
            "role": "assistant",
            "content": piece.text,
            "refusal": None,
        }
        return self._with_end(index, {"message": message}, piece)

    def _opening(self, index: int) -> list[Object]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [self._with_end(index, {"delta": delta}, Piece())]

    def _delta(self, index: int, piece: Piece) -> Object:
        delta = {"content": piece.text} if piece.text else {}
        return self._with_end(index, {"delta": delta}, piece)

    def _with_end(self, index: int, choice: Object, piece: Piece) -> Object:
        found = None
        if self._logprobs:
            found = answers.chat_logprobs(self._host, piece.tokens, self._top)
        end = {"logprobs": found, "finish_reason": piece.reason}
        return {"index": index, **choice, **end}


class CompletionWriter(Writer):
    """The writer of continued prompts.

    Args:
        service: What the server shares.
        body: The request.
        asks: The texts that it asks for.
    """

    def __init__(
        self,
        service: Service,
        body: schemas.CompletionRequest,
        asks: Sequence[Ask],
    ):
        super().__init__(service, body, asks, "text_completion")
        self._logprobs, self._echo = body.logprobs, bool(body.echo)
        self._offsets = [
            len(ask.text) if self._echo else 0 for ask in self._all
        ]
        # Of given ids a start id is one; before a text it is not shown.
        self._ids = not isinstance((*body.prompt, "")[0], str)
        self._scored: dict[tuple[int, ...], list[Token]] = {}
        if body.max_tokens == 0:
            self.asks = []

    async def prepare(self) -> None:
        """Scores the prompts, if they are echoed with log-probabilities."""
        if not self._echo or self._logprobs is None:
            return
        for ask in self._all:
            key, ids = tuple(ask.prompt), ask.prompt
            if key not in self._scored:
                work = self._service.engine.score
                found = await self._service.beside(work, ids)
                unseen = ids[0] == self._host.start_id and not self._ids
                first = [] if unseen else [Token(ids[0])]
                self._scored[key] = [*first, *found]

    def _choice(self, index: int, piece: Piece) -> Object:
        before = self._before(index)
        text = before.text + piece.text
        found = None
        if self._logprobs is not None:
            tokens = (*before.tokens, *piece.tokens, *self._end(index, piece))
            found = answers.completion_logprobs(
                self._host, tokens, self._logprobs, 0
            )
        return self._with_end(index, text, found, piece.reason)

    def _opening(self, index: int) -> list[Object]:
        if not self._echo:
            return []
        before, found = self._before(index), None
        if self._logprobs is not None:
            found = answers.completion_logprobs(
                self._host, before.tokens, self._logprobs, 0
            )
        return [self._with_end(index, before.text, found, None)]

    def _delta(self, index: int, piece: Piece) -> Object:
        found = None
        if self._logprobs is not None:
            found = answers.completion_logprobs(
                *(self._host, piece.tokens, self._logprobs),
                self._offsets[index],
            )
        self._offsets[index] += len(piece.text)
        return self._with_end(index, piece.text, found, piece.reason)

    def _end(self, index: int, piece: Piece) -> tuple[Token, ...]:
        """The token that ended an echoed text; how likely it was, is unknown.

        Clients that score texts, such as the lm-evaluation-harness, count on
        one token behind the echo whatever it is.
        """
        ended = piece.reason == STOP and not self._all[index].settings.stop
        shown = self._echo and ended and self._host.end_ids
        return (Token(self._host.end_ids[0]),) if shown else ()

    def _before(self, index: int) -> Piece:
        """The echoed prompt."""
        if not self._echo:
            return Piece()
        ask = self._all[index]
        return Piece(ask.text, tuple(self._scored.get(tuple(ask.prompt), ())))

    def _with_end(
        self, index: int, text: str, found: Object | None, reason: str | None
    ) -> Object:
        end = {"logprobs": found, "finish_reason": reason}
        return {"index": index, "text": text, **end}
