"""A batch that grows: which rows a step takes while it does."""

import dataclasses

from keras_llm.errors import InputError


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Batches of few rows first, growing by a micro-batch at a time.

    The arrays of a step keep their shape: rows that do not belong to it are
    empty, and the step leaves out micro-batches of empty rows. Each row still
    comes once an epoch, since a step begins where the one before ended.

    Args:
        first: Rows in the first step, a multiple of `part`.
        rows: Rows in a step after the ramp, a multiple of `part`.
        part: Rows in a micro-batch, by which it grows.
        steps: Length of the ramp.

    Raises:
        InputError: The numbers do not fit each other.

    Source: Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix B.

    Example:

    >>> Ramp(first=4, rows=16, part=4, steps=30).stages
    ((0, 4), (10, 8), (20, 12), (30, 16))
    """

    first: int
    rows: int
    part: int
    steps: int

    def __post_init__(self) -> None:
        fits = not (self.first % self.part or self.rows % self.part)
        if not fits or not 0 < self.first < self.rows or self.steps < 1:
            raise InputError(
                "Expected a ramp of at least one step between two multiples "
                f"of part={self.part}. Received: from {self.first} to "
                f"{self.rows} rows in {self.steps} steps."
            )

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """The first step of each size, and the size in rows."""
        levels = (self.rows - self.first) // self.part
        return tuple(
            (
                -(-level * self.steps // levels),
                self.first + level * self.part,
            )
            for level in range(levels + 1)
        )
