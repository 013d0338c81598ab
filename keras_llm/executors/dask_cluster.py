"""Tasks on a cluster of Dask."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from keras_llm.errors import InputError
from keras_llm.executors.attempts import attempt, died, in_order
from keras_llm.executors.messages import packed

Task = TypeVar("Task")
Result = TypeVar("Result")


class OnDask:
    """Runs tasks on a cluster of Dask.

    A worker that dies is replaced by Dask, and its tasks run again. Files
    that tasks read and write must be where all workers see them.

    Args:
        client: A `distributed.Client`.

    Source: https://distributed.dask.org/en/stable/resilience.html.
    """

    def __init__(self, client: Any):
        self._client = client

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        title: str,
    ) -> Iterator[Result]:
        """Yields the results; see `Executor.map`."""
        from distributed import KilledWorker, as_completed

        for task in tasks:
            packed(function, task)  # Dask would say in a page what cannot be
        futures = self._client.map(
            partial(attempt, function), tasks, pure=False
        )
        numbers = {future.key: at for at, future in enumerate(futures)}
        try:
            done = as_completed(futures, with_results=True)
            outcomes = (
                (numbers[future.key], result) for future, result in done
            )
            yield from in_order(outcomes, len(tasks), title)
        except KilledWorker as error:
            name = tasks[numbers[error.task]]
            raise died(name, "of four workers") from error
        finally:
            self._client.cancel(futures)


@contextmanager
def dask_executor(workers: int, scheduler: str | None) -> Iterator[OnDask]:
    """Yields an executor on a cluster; one started here ends with the block.

    Args:
        workers: Processes of a cluster here, of one thread each.
        scheduler: The address of a cluster that runs already.

    Raises:
        InputError: Dask is not installed, or nobody answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "Expected distributed for the engine dask. Received: it is not "
            "installed. Do: pip install 'keras_llm[dask]'"
        ) from error
    if scheduler is None:
        settings: dict[str, Any] = {
            "n_workers": workers,
            "threads_per_worker": 1,
            "dashboard_address": "127.0.0.1:0",
            "silence_logs": logging.CRITICAL,  # our sentences say it
        }
        with LocalCluster(**settings) as cluster, Client(cluster) as client:
            yield OnDask(client)
        return
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise InputError(
            "Expected a scheduler of Dask that answers, such as "
            f"tcp://10.0.0.1:8786. Received: {scheduler} ({error})."
        ) from error
    with client:
        yield OnDask(client)
