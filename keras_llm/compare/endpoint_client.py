"""Talking to an OpenAI-compatible server: many calls, one clear error."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from keras_llm.errors import InputError
from keras_llm.progress import track

KEY = "OPENAI_API_KEY"
NO_KEY = "none"  # the client wants one, and most own servers do not

Answer = TypeVar("Answer")


class Endpoint:
    """A model behind an address.

    Args:
        address: `http://HOST:PORT/v1#MODEL`; without `#MODEL` the only one
            that is served.
        key: What the server asks for. Default: the environment's
            OPENAI_API_KEY.
        timeout: Seconds to wait for an answer.
        retries: How often a call is repeated, after longer and longer pauses,
            when the server is busy, fails or cannot be reached.
        concurrency: Calls under way at once.

    Attributes:
        address: The address without the model.
        model: The model's name there.
        details: What the server says of the model.

    Raises:
        InputError: Nobody answers there, the key is wrong, there is no such
            model, or the package `openai` is missing.

    Example:

    >>> Endpoint("localhost:8000")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected an address as http://HOST:PORT/v1...
    """

    def __init__(
        self,
        address: str,
        key: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        concurrency: int = 8,
    ):
        self.address, _, model = address.partition("#")
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(
                "Expected an address as http://HOST:PORT/v1#MODEL. Received: "
                f"{address!r}."
            )
        self._openai = _library()
        self._options = {
            "base_url": self.address,
            "api_key": key or os.environ.get(KEY) or NO_KEY,
            "timeout": timeout,
            "max_retries": retries,
        }
        self._concurrency = concurrency
        self.model, self.details = self._found(model)

    def many(
        self, calls: Sequence[Callable[[Any], Answer]], what: str
    ) -> list[Answer]:
        """Makes calls, several at once; answers in their order.

        Args:
            calls: Functions of an `openai.OpenAI` client.
            what: The word before the bar, for example "scoring".

        Raises:
            InputError: The server cannot be reached, or refuses a call.
        """
        with (
            self._openai.OpenAI(**self._options) as client,
            ThreadPoolExecutor(self._concurrency) as pool,
        ):
            waiting = [pool.submit(self._asked, one, client) for one in calls]
            try:
                done = track(waiting, what, len(waiting))
                return [one.result() for one in done]
            except BaseException:  # Ctrl-C too: no call for nobody
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _asked(self, call: Callable[[Any], Answer], client: Any) -> Answer:
        """The answer to a call; errors become sentences."""
        known, name = self._openai, f"the server at {self.address}"
        try:
            return call(client)
        except known.APITimeoutError as error:
            raise InputError(
                f"Expected {name} to answer in {self._options['timeout']:g} "
                "seconds. Received: nothing. Give it more with timeout=, or "
                "ask for fewer tokens."
            ) from error
        except known.APIConnectionError as error:
            raise InputError(
                f"Expected a server at {self.address}. Received: "
                f"{error.__cause__ or error}. Start it, for example with "
                "`keras-llm serve`, or correct the address."
            ) from error
        except known.AuthenticationError as error:
            raise InputError(
                f"Expected a key that {name} takes. Received: {said(error)} "
                f"Set the environment variable {KEY}."
            ) from error
        except known.APIStatusError as error:
            raise Refused(
                f"Expected {name} to answer. Received: {error.status_code}, "
                f"{said(error)}"
            ) from error

    def _found(self, name: str) -> tuple[str, Any]:
        """The model's name, and what the server says of it."""
        [models] = self.many([lambda client: client.models.list().data], "")
        names = [one.id for one in models]
        if not name and len(names) == 1:
            name = names[0]
        if name not in names:
            raise InputError(
                f"Expected #MODEL behind {self.address} to be one that is "
                f"served there: {', '.join(names) or 'none'}. Received: "
                f"{name or 'no name'}."
            )
        return name, models[names.index(name)]


class Refused(InputError):
    """A server answered, but with an error.

    Example:

    >>> issubclass(Refused, InputError)
    True
    """


def said(error: Any) -> str:
    """Returns what a server said of an error, in one line.

    Example:

    >>> from types import SimpleNamespace
    >>> said(SimpleNamespace(body={"message": "Too long."}, message="400"))
    'Too long.'
    """
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())


def _library() -> Any:
    try:
        import openai
    except ImportError as error:
        raise InputError(
            "Expected the package openai, which asks servers. Received: "
            f'{error}. Install it: pip install "keras_llm[judge]"'
        ) from error
    return openai
