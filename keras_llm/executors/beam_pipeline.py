"""Tasks as a pipeline of Apache Beam: on Dataflow, Flink or Spark."""

import pickle
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from keras_llm.errors import InputError
from keras_llm.executors.attempts import attempt, in_order
from keras_llm.executors.messages import packed
from keras_llm.files import atomic_path

Task = TypeVar("Task")
Result = TypeVar("Result")


class OnBeam:
    """Runs each `map` as one pipeline of Apache Beam.

    Beam gives nothing back to the program that started a pipeline, so results
    come in files of a temporary folder. It and the files of the tasks must be
    where all machines see them: set `TMPDIR`. The bar moves at the end only.

    Args:
        workers: Processes of Beam's own runner, when no other is named.
        options: Options of the pipeline as one string.

    Raises:
        InputError: Apache Beam is not installed.

    Source: https://beam.apache.org/documentation/programming-guide.
    """

    def __init__(self, workers: int, options: str | None):
        try:
            import apache_beam
        except ImportError as error:
            raise InputError(
                "Expected apache_beam for the engine beam. Received: it is "
                "not installed. Do: pip install 'keras_llm[beam]'"
            ) from error
        self._beam = apache_beam
        self._options = shlex.split(options or "") or [
            f"--direct_num_workers={workers}",
            "--direct_running_mode=multi_processing",
        ]

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        title: str,
    ) -> Iterator[Result]:
        """Yields the results; see `Executor.map`."""
        beam, numbered = self._beam, list(enumerate(tasks))
        requests = [(at, packed(function, task)) for at, task in numbered]
        with tempfile.TemporaryDirectory(prefix="keras_llm-") as folder:
            options = beam.pipeline.PipelineOptions(self._options)
            with beam.Pipeline(options=options) as pipeline:
                _ = (
                    pipeline
                    | beam.Create(requests)
                    | beam.Reshuffle()
                    | beam.Map(partial(_to_file, folder))
                )
            outcomes = ((at, _from_file(folder, at)) for at, _ in numbered)
            yield from in_order(outcomes, len(tasks), title)


def _to_file(folder: str, numbered: tuple[int, bytes]) -> None:
    """Does a task; writes its result, or the error that names a file."""
    at, request = numbered
    function, task = pickle.loads(request)
    try:
        outcome = attempt(function, task)
    except OSError as error:  # Beam would send it on without its number
        outcome = error
    with atomic_path(Path(folder, str(at))) as path:
        path.write_bytes(pickle.dumps(outcome))


def _from_file(folder: str, at: int) -> Any:
    outcome = pickle.loads(Path(folder, str(at)).read_bytes())
    if isinstance(outcome, OSError):
        raise outcome
    return outcome
