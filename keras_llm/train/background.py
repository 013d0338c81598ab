"""One piece of work at a time beside training, in a thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Does work in one thread; its errors reach whoever asks next.

    Example:

    >>> done = []
    >>> background = Background()
    >>> background.start(lambda: done.append(1))
    >>> background.wait()
    >>> done
    [1]
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="keras_llm")
        self._last: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begins with `work`, after what came before has ended.

        Raises:
            Exception: What came before failed.
        """
        self.wait()
        self._last = self._pool.submit(work)

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._last is not None and not self._last.done()

    def check(self) -> None:
        """Raises the error of work that has failed; does not wait."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Returns when nothing is left to do, or raises its error."""
        last, self._last = self._last, None
        if last is not None:
            last.result()
