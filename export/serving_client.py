"""A client for exported models in TensorFlow Serving, or in `keras-llm serve`.

Over HTTP it needs nothing but Python; over gRPC the extra `serving`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from keras_llm.closing import Closing
from keras_llm.errors import InputError
from keras_llm.export.serving_transport import (
    PREFIXES,
    GrpcTransport,
    RestTransport,
    Target,
    Transport,
)
from keras_llm.sampling import GenerationSettings
from keras_llm.stopping import SEPARATOR

Message = Mapping[str, str]
Row = dict[str, Any]
T = TypeVar("T")
PADDED = ("tokens", "token_logprobs")  # to the longest row of an answer


class ServingClient(Closing):
    """Asks a model in a server, one text or many at once.

    Each method takes one text and gives one answer, or takes a list and gives
    a list. Settings are those of `GenerationSettings`; one value holds for
    all rows, a list has one for each. Every row draws from its own seed, used
    as it is.

    Args:
        address: `http://host:8501` or `https://...` for REST,
            `grpc://host:8500` or `grpcs://...` for gRPC.
        model: The model's name in the server: that of its folder.
        version: One of its versions. Default: the server's choice.
        timeout: Seconds that a request may take. Default: 60.
        token: A bearer token, if a gateway asks for one.

    Raises:
        InputError: The address is none, or the libraries for gRPC are
            missing. From every method: the server refuses the request.
        ConnectionError: From every method: there is no server, or it takes
            no more requests.
        TimeoutError: From every method: it took too long.

    Example:

    >>> ServingClient("localhost:8501", "rose")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected an address that begins with ...
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        timeout: float = 60.0,
        token: str | None = None,
    ):
        if not address.startswith(PREFIXES):
            raise InputError(
                "Expected an address that begins with one of "
                f"{', '.join(PREFIXES)}. Received: {address!r}."
            )
        kind = GrpcTransport if address.startswith("grpc") else RestTransport
        target = Target(address, model, version, timeout, token)
        self._transport: Transport = kind(target)
        self._known: dict[str, dict[str, list[str]]] = {}

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def status(self) -> dict[int, str]:
        """Returns the state of each version, for example `{1: "AVAILABLE"}`."""
        return self._transport.status()

    def metadata(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of `inputs` and `outputs` of every signature."""
        self._known = self._transport.signatures()
        return self._known

    @overload
    def complete(self, prompt: str) -> str: ...
    @overload
    def complete(self, prompt: Sequence[str]) -> list[str]: ...
    def complete(self, prompt: str | Sequence[str]) -> str | list[str]:
        """Continues by the settings that the model was exported with."""
        return self._each(
            prompt,
            lambda rows: self.predict("serving_default", prompt=rows)["text"],
        )

    @overload
    def generate(self, prompt: str, **settings: Any) -> Row: ...
    @overload
    def generate(self, prompt: Sequence[str], **settings: Any) -> list[Row]: ...
    def generate(
        self, prompt: str | Sequence[str], **settings: Any
    ) -> Row | list[Row]:
        """Continues by settings of the request.

        Returns:
            For each prompt `text`, `tokens`, `num_tokens`, `prompt_tokens`
            and `finish_reason`.
        """
        return self._each(
            prompt,
            lambda rows: self._generated("generate", settings, prompt=rows),
        )

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        **settings: Any,
    ) -> Row | list[Row]:
        """Answers a conversation, or several.

        Args:
            messages: The messages (`role` and `content`), or a list of such
                lists.
            **settings: As for `generate`.

        Returns:
            As `generate`, for each conversation.

        Raises:
            InputError: The chat template does not take a conversation.
        """
        alone = bool(messages) and isinstance(messages[0], Mapping)
        talks: Any = [messages] if alone else messages
        width = max((len(talk) for talk in talks), default=0)
        columns = {
            f"{part}s": [
                [message[part] for message in talk] + [""] * (width - len(talk))
                for talk in talks
            ]
            for part in ("role", "content")
        }
        found = self._generated("chat", settings, **columns)
        for place, row in enumerate(found):
            if row["finish_reason"] == "refused":
                roles = columns["roles"][place]
                raise InputError(
                    "Expected a conversation that the model's chat template "
                    f"takes. Received: one of {', '.join(filter(None, roles))}."
                )
        return found[0] if alone else found

    @overload
    def score(self, text: str) -> Row: ...
    @overload
    def score(self, text: Sequence[str]) -> list[Row]: ...
    def score(self, text: str | Sequence[str]) -> Row | list[Row]:
        """Says how likely the model finds each token of a text.

        Returns:
            For each text `tokens`, `token_logprobs`, `sum_logprob` and more.
        """
        return self._each(
            text, lambda rows: _by_row(self.predict("score", text=rows))
        )

    @overload
    def embed(self, text: str) -> list[float]: ...
    @overload
    def embed(self, text: Sequence[str]) -> list[list[float]]: ...
    def embed(self, text: str | Sequence[str]) -> list:
        """Returns one vector for each text."""
        return self._each(
            text, lambda rows: self.predict("embed", text=rows)["embedding"]
        )

    @overload
    def tokenize(self, text: str) -> list[int]: ...
    @overload
    def tokenize(self, text: Sequence[str]) -> list[list[int]]: ...
    def tokenize(self, text: str | Sequence[str]) -> list:
        """Returns the ids of each text."""

        def ids(rows: list[str]) -> list[list[int]]:
            found = _by_row(self.predict("tokenize", text=rows))
            return [row["tokens"] for row in found]

        return self._each(text, ids)

    def detokenize(self, tokens: Sequence) -> str | list[str]:
        """Returns the text of ids, or of each of several lists of ids."""
        alone = not tokens or not isinstance(tokens[0], Sequence)
        rows: Any = [tokens] if alone else tokens
        width = max(1, *(len(row) for row in rows))
        padded = [[*row] + [-1] * (width - len(row)) for row in rows]
        found = self.predict("detokenize", tokens=padded)["text"]
        return found[0] if alone else found

    def predict(self, signature: str, **columns: list) -> dict[str, list]:
        """Runs any signature on its inputs as they are, one list for each."""
        known = self._inputs(signature)
        if set(columns) != set(known):
            raise InputError(
                f"Expected the inputs {', '.join(known)} of {signature}. "
                f"Received: {', '.join(columns)}."
            )
        return self._transport.predict(signature, columns)

    def _inputs(self, signature: str) -> list[str]:
        if not self._known:
            self.metadata()
        if signature not in self._known:
            raise InputError(
                "Expected one of the model's signatures: "
                f"{', '.join(sorted(self._known))}. Received: {signature}."
            )
        return self._known[signature]["inputs"]

    def _generated(
        self, signature: str, settings: Mapping[str, Any], **columns: list
    ) -> list[Row]:
        rows = len(next(iter(columns.values())))
        controls = [n for n in self._inputs(signature) if n not in columns]
        unknown = sorted(settings.keys() - set(controls))
        if unknown:
            raise InputError(
                f"Expected settings that {signature} has: "
                f"{', '.join(controls)}. Received: {', '.join(unknown)}."
            )
        given = _settings(settings, rows)
        for name in controls:
            columns[name] = [_sent(getattr(row, name)) for row in given]
        return _by_row(self.predict(signature, **columns))

    def _each(
        self, one_or_many: Any, work: Callable[[list[str]], list[T]]
    ) -> Any:
        """One answer for one text, a list for several."""
        if isinstance(one_or_many, str):
            return work([one_or_many])[0]
        rows = list(one_or_many)
        return work(rows) if rows else []


def _settings(given: Mapping[str, Any], rows: int) -> list[GenerationSettings]:
    """Checked settings of every row from one value or a list for each name."""
    table: list[Row] = [{} for _ in range(rows)]
    for name, value in given.items():
        is_column = isinstance(value, list | tuple)
        if name == "stop":  # a list of strings holds for all rows
            is_column = is_column and not all(
                isinstance(one, str) for one in value
            )
        column = value if is_column else [value] * rows
        if len(column) != rows:
            raise InputError(
                f"Expected one {name}, or one for each of {rows} rows. "
                f"Received: {len(column)}."
            )
        for row, one in zip(table, column, strict=True):
            row[name] = one
    return [GenerationSettings.from_dict(row) for row in table]


def _sent(value: Any) -> Any:
    """A setting as the graph takes it."""
    return SEPARATOR.join(value) if isinstance(value, tuple) else value


def _by_row(columns: dict[str, list]) -> list[Row]:
    """One dictionary for each row, without padding."""
    found = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    for row in found:
        for name in PADDED:
            if name in row:
                row[name] = row[name][: row["num_tokens"]]
    return found
