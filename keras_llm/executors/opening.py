"""`open_executor`: the executor of a name, closed behind the block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from keras_llm.errors import InputError, check_choice
from keras_llm.executors.executor import Executor, Inline
from keras_llm.executors.local_processes import Local

ENGINES = ("inline", "local", "dask", "beam")


@contextmanager
def open_executor(
    engine: str = "local",
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[Executor]:
    """Yields an executor; behind the block none of its processes is left.

    Args:
        engine: "inline": in this process. "local": in processes of this
            machine. "dask": on a cluster of Dask, or in processes that Dask
            starts here; extra `dask`. "beam": as a pipeline of Apache Beam;
            extra `beam`.
        workers: Processes at the same time. Default: as many as there are
            processors. Not for "inline" and for running clusters.
        scheduler: Of "dask" the address, such as "tcp://10.0.0.1:8786"; of
            "beam" the options of the pipeline, such as
            "--runner=FlinkRunner --flink_master=10.0.0.1:8081". Files that
            tasks read and write must be where all machines see them.

    Raises:
        InputError: The engine is unknown or not installed, its scheduler
            does not answer, or a setting is not for it.

    Source: https://distributed.dask.org, https://beam.apache.org.

    Example:

    >>> with open_executor("inline") as executor:
    ...     list(executor.map(abs, [-1, 2], "measuring"))
    [1, 2]
    """
    check_choice("engine", engine, ENGINES)
    _check(engine, workers, scheduler)
    if engine == "inline":
        yield Inline()
    elif engine == "local":
        local = Local(workers or processors())
        try:
            yield local
        finally:
            local.close()
    elif engine == "dask":
        from keras_llm.executors.dask_cluster import dask_executor

        with dask_executor(workers or processors(), scheduler) as executor:
            yield executor
    else:
        from keras_llm.executors.beam_pipeline import OnBeam

        yield OnBeam(workers or processors(), scheduler)


def processors() -> int:
    """Returns how many processors this process may use.

    Example:

    >>> processors() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(engine: str, workers: int | None, scheduler: str | None) -> None:
    """Refuses settings that an engine would not look at."""
    if workers is not None and workers < 1:
        raise InputError(f"Expected workers >= 1. Received: {workers}.")
    if scheduler is not None and engine not in ("dask", "beam"):
        raise InputError(
            'Expected a scheduler for the engines "dask" and "beam" only. '
            f"Received: {scheduler!r} for {engine!r}."
        )
    if workers is not None and (engine == "inline" or scheduler):
        raise InputError(
            "Expected workers for processes that are started here. Received: "
            f"workers={workers} for "
            + (f"the cluster {scheduler}." if scheduler else "one process.")
        )
