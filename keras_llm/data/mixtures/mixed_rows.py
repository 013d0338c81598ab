"""`Mixture`: the rows of several sources in one computed order."""

import hashlib
from pathlib import Path

import numpy as np

from keras_llm.data.manifest import Manifest
from keras_llm.data.mixtures.interleave import Interleave
from keras_llm.data.mixtures.permutation import key_of, permuted
from keras_llm.data.mixtures.plan import ORDER, MixturePlan, Source
from keras_llm.data.rows import Rows
from keras_llm.errors import InputError
from keras_llm.files import sha256_of


class Mixture(Rows):
    """Rows of several folders, mixed: nothing is copied.

    It is used as `Rows` are; position i has always the same row, so that
    training resumes at any step. The order is the mixture's own:
    `row_dataset` keeps it, whatever its seed. A second pass has the same
    shares and goes on in each source where the first one ended. `info` and
    `manifest` tell of all rows of the sources; `plan` tells of one pass.

    Open one with `open_rows`, make one with `mix`.

    Attributes:
        plan: The `MixturePlan`: rows of each source, epochs, warnings.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, mix, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 261)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in [("a", "a rose " * 90), ("b", "is " * 90)]:
    ...     _ = pack_corpus([Document(text, name)], tokenizer, folder / name, 8)
    >>> mixed = mix({name: folder / name for name in "ab"}, folder / "mixed",
    ...     weights={"a": 3, "b": 1}, tokens=360)
    >>> len(mixed), mixed.draws(np.arange(8))[0].tolist()
    (45, [0, 0, 1, 0, 0, 0, 1, 0])
    """

    ordered = True

    def __init__(self, folder: Path, manifest: Manifest, plan: MixturePlan):
        super().__init__(folder, "train", manifest)
        self.plan = plan
        counts = np.array([source.drawn for source in plan.sources]).T
        self._phases = [Interleave(one.tolist()) for one in counts]
        self._phase_ends = np.cumsum(counts.sum(axis=1))
        # Draws are numbered through the sources, one after the other.
        drawn = counts.sum(axis=0)
        before = np.cumsum(counts, axis=0) - counts
        self._first_draws = before + (np.cumsum(drawn) - drawn)
        sizes = np.array([source.rows for source in plan.sources])
        self._begins = np.cumsum(sizes) - sizes
        # A part is a stage of a source.
        self._sizes = np.concatenate([one.stages for one in plan.sources])
        self._taken = np.concatenate([_by_stage(one) for one in plan.sources])
        self._order = self._sorted_rows() if plan.curriculum else None

    def __len__(self) -> int:
        """Returns the rows of one pass."""
        return self.plan.rows

    @property
    def fingerprint(self) -> str:
        """Returns a hash of all content and of its order."""
        both = super().fingerprint + self.plan.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()

    def draws(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which row of which source stands at each position.

        Args:
            positions: int64, (n,), from 0, beyond the first pass too.

        Returns:
            Two of int64, (n,): the source, an index into `plan.sources`, and
            the row within it.
        """
        places = self.places(positions)
        sources = np.searchsorted(self._begins, places, side="right") - 1
        return sources, places - self._begins[sources]

    def places(self, indices: np.ndarray) -> np.ndarray:
        """Returns where in the files the rows at these positions are."""
        rounds, numbers = self._draws(indices)
        ends = np.cumsum(self._taken)
        parts = np.searchsorted(ends, numbers, side="right")
        taken, sizes = self._taken[parts], self._sizes[parts]
        nth = rounds * taken + numbers - (ends[parts] - taken)
        epochs, rows = np.divmod(nth, sizes)
        keys = key_of(self.plan.seed, parts, epochs)
        firsts = (np.cumsum(self._sizes) - self._sizes)[parts]
        places = firsts + permuted(rows, sizes, keys)
        return places if self._order is None else self._order[places]

    def _draws(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns how many passes came before, and the number of the draw."""
        rounds, places = np.divmod(positions, len(self))
        phases = np.searchsorted(self._phase_ends, places, side="right")
        numbers = np.empty(len(positions), np.int64)
        for phase in np.unique(phases):
            here, order = phases == phase, self._phases[phase]
            begin = self._phase_ends[phase] - order.total
            sources, draws = order(places[here] - begin)
            numbers[here] = self._first_draws[phase][sources] + draws
        return rounds, numbers

    def verify(self) -> None:
        """Reads every file and compares its hash with what it was.

        Raises:
            InputError: A file was changed or damaged; the message names it.
        """
        self.plan.check_sources(self.folder)
        path = self.folder / ORDER
        if self._order is not None and sha256_of(path) != (
            self.plan.order_sha256
        ):
            raise InputError(
                f"Expected {path} with SHA-256 {self.plan.order_sha256}. "
                "Received: another content. Mix the sources again."
            )
        super().verify()

    def _sorted_rows(self) -> np.ndarray:
        """Maps the rows of each source from easy to hard."""
        path = self.folder / ORDER
        if not path.is_file():
            raise InputError(
                f"Expected the file {path}, the order of a curriculum. "
                "Received: no such file. Mix the sources again."
            )
        order = np.load(path, mmap_mode="r")
        if order.shape != (self.info.rows,):
            raise InputError(
                f"Expected {self.info.rows} numbers in {path}. Received: "
                f"{order.shape}. Mix the sources again."
            )
        return np.asarray(order)


def open_mixture(folder: Path, split: str, manifest: Manifest) -> Rows:
    """Opens a folder that `mix` wrote; `open_rows` calls this.

    Args:
        folder: It has `mixture.json`.
        split: "train" gives the `Mixture`, "heldout" the held-out rows of
            all sources, each once.
        manifest: That of the folder.

    Raises:
        InputError: A source was changed since.

    Example: see `Mixture`.
    """
    plan = MixturePlan.load(folder)
    plan.check_sources(folder)
    if split != "train":
        return Rows(folder, split, manifest)
    return Mixture(folder, manifest, plan)


def _by_stage(source: Source) -> np.ndarray:
    """Returns the draws of a pass from each stage, as large as its rows."""
    rows = np.cumsum(source.stages)
    doubled = 2 * source.drawn_rows * rows + source.rows
    return np.diff(doubled // (2 * source.rows), prepend=0)
