"""`tf.data` service: rows are made by other processes, on other machines.

For work that one host cannot do fast enough, such as tokenizing on the fly.
A dispatcher hands out parts of a dataset; each part goes to one worker, so
every row comes once. The order depends on who is fast: it is another in every
run, and a resumed run sees other rows. What must resume exactly trains from
packed rows (`row_dataset`).
"""

import re
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_llm.closing import Closing
from keras_llm.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


class DataService(Closing):
    """A dispatcher with workers, or workers of a dispatcher elsewhere.

    Args:
        workers: Workers in this process; each uses several threads.
        port: The dispatcher's; 0 takes a free one.
        dispatcher: `host:port` of a dispatcher to work for, instead of
            starting one.
        host: Name under which other machines reach this one.

    Attributes:
        address: `host:port` of the dispatcher, for `from_service`.

    Raises:
        InputError: The port is taken, or an argument does not make sense.

    Source: Audibert et al. 2023, https://arxiv.org/abs/2210.14826.

    Example:

    >>> with DataService(workers=1) as service:
    ...     service.address.startswith("localhost:")
    True
    """

    def __init__(
        self,
        workers: int = 1,
        port: int = 0,
        dispatcher: str | None = None,
        host: str = "localhost",
    ):
        if workers < 0 or (dispatcher is not None and (port or workers < 1)):
            raise InputError(
                "Expected workers, and a port or the address of a dispatcher. "
                f"Received: workers={workers}, port={port}, dispatcher="
                f"{dispatcher!r}."
            )
        self._servers: list[Any] = []
        self.address = dispatcher or self._dispatch(host, port)
        check_address(self.address)
        for _ in range(workers):
            self._servers.append(self._work(host))

    def close(self) -> None:
        """Stops the workers, then the dispatcher."""
        while self._servers:
            self._servers.pop()._stop()

    def wait(self) -> None:
        """Returns after Ctrl-C or SIGTERM; in the main thread only."""
        told = threading.Event()
        before: dict[Any, Any] = {
            # Set here: a shell's background jobs begin with Ctrl-C ignored.
            number: signal.signal(number, lambda *_: told.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        told.wait()
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def _dispatch(self, host: str, port: int) -> str:
        from tensorflow.data.experimental import service

        config = service.DispatcherConfig(port=port)
        _check_free(port)
        server = _started(lambda: service.DispatchServer(config), port)
        self._servers.append(server)
        return f"{host}:{server.target.rsplit(':', 1)[1]}"

    def _work(self, host: str) -> Any:
        from tensorflow.data.experimental import service

        config = service.WorkerConfig(
            dispatcher_address=self.address,
            # The port is known once the server has it.
            worker_address=f"{host}:%port%",
        )
        return _started(lambda: service.WorkerServer(config), 0)


def from_service(dataset: "tf.data.Dataset", address: str) -> "tf.data.Dataset":
    """Returns a dataset whose elements a data service computes.

    Every element comes once, in no order that is promised. The dataset is
    cut where it begins: `text_rows` by files, so there should be several
    times more files than workers. Batch what this returns, so that no rows
    are lost where a worker's part ends:

        rows = text_rows(files, tokenizer, context_length=512)
        rows = from_service(rows, "trainer:5050").repeat()
        train.fit(model, rows.batch(64, drop_remainder=True), ...)

    One process trains from it, on one device or on several of JAX; what cuts
    batches over processes or replicas needs an order, and refuses it.

    Args:
        dataset: Graph operations only, no Python functions.
        address: `host:port` of the dispatcher.

    Raises:
        InputError: The address is not one.

    Example:

    >>> import tensorflow as tf
    >>> with DataService(workers=2) as service:
    ...     rows = from_service(tf.data.Dataset.range(5), service.address)
    ...     sorted(int(row) for row in rows)
    [0, 1, 2, 3, 4]
    """
    from tensorflow.data.experimental import service

    check_address(address)
    return dataset.apply(
        service.distribute(service.ShardingPolicy.DYNAMIC, f"grpc://{address}")
    )


def is_served(dataset: Any) -> bool:
    """Returns whether elements come from a data service, in any order.

    Example:

    >>> import tensorflow as tf
    >>> is_served(tf.data.Dataset.range(5))
    False
    """
    if "DataService" in type(dataset).__name__:
        return True
    return any(is_served(each) for each in dataset._inputs())


def check_address(address: str) -> None:
    """Refuses what is no host and port.

    Raises:
        InputError: It is not.

    Example:

    >>> check_address("trainer:5050")
    """
    if not re.fullmatch(r"[\w.\-]+:\d{1,5}", address):
        raise InputError(
            "Expected the address of a dispatcher as host:port, as in "
            f"trainer:5050. Received: {address!r}."
        )


def _check_free(port: int) -> None:
    """Refuses a port that is taken: gRPC would share it, in silence."""
    try:
        with socket.socket() as probe:
            probe.bind(("", port))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"Expected a free port. Received: port {port}: {error}. Use "
            "another, or 0 for any."
        ) from error


def _started(make: Callable[[], Any], port: int) -> Any:
    try:
        return make()
    except Exception as error:  # gRPC has errors of its own
        raise InputError(
            f"Expected a free port and a dispatcher that answers. Received: "
            f"port {port}, and {type(error).__name__}: {error}."
        ) from error
