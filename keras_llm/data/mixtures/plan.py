"""`mixture.json`: which rows of which sources a mixture takes, and how often.

It holds counts, not weights to count with: a later version of this library
that counts otherwise still reads the same order.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_llm.data.manifest import MANIFEST
from keras_llm.data.mixtures.weights import REPEATS
from keras_llm.errors import InputError
from keras_llm.files import read_json, sha256_of

MIXTURE = "mixture.json"
FORMAT = "keras_llm mixture"
VERSION = 1
ORDER = "order.npy"


@dataclass(frozen=True)
class Source:
    """What a mixture takes from one folder of packed rows.

    Attributes:
        name: What the table calls it.
        folder: Where it is, seen from the mixture's folder.
        sha256: Hash of its manifest, which has the hashes of its rows.
        rows: Rows that it has for training.
        tokens: Tokens in them, without padding.
        weight: Share of tokens asked for, the mean over the phases.
        drawn: Rows taken in each phase.
        stages: Rows in each stage of the curriculum, easy ones first; one
            stage if there is none.
    """

    name: str
    folder: str
    sha256: str
    rows: int
    tokens: int
    weight: float
    drawn: tuple[int, ...]
    stages: tuple[int, ...]

    @property
    def drawn_rows(self) -> int:
        """Returns the rows taken in one pass of the mixture."""
        return sum(self.drawn)

    @property
    def drawn_tokens(self) -> float:
        """Returns the tokens taken in one pass, by the mean of a row."""
        return self.drawn_rows * self.tokens / self.rows

    @property
    def epochs(self) -> float:
        """Returns how often one pass of the mixture takes each row."""
        return self.drawn_rows / self.rows


@dataclass(frozen=True)
class MixturePlan:
    """All that decides which row stands at which position.

    Attributes:
        seed: Of the order within the sources.
        sources: In the order of their rows.
        curriculum: What rows are sorted by: "length", "compression",
            "rarity" or "scores"; None for no order.
        order_sha256: Hash of `order.npy`, the rows sorted; None without.
        max_epochs: The limits that were asked for, by source.

    Example:

    >>> one = Source("a", "../a", "5d80...", 10, 990, 1.0, (35, 15), (10,))
    >>> plan = MixturePlan(0, (one,))
    >>> plan.rows, plan.tokens, one.epochs
    (50, 4950, 5.0)
    >>> plan.warnings
    ['a: each row comes 5.0 times; more than 4 is worth less than new text.']
    """

    seed: int
    sources: tuple[Source, ...]
    curriculum: str | None = None
    order_sha256: str | None = None
    max_epochs: dict[str, float] | None = None

    @property
    def rows(self) -> int:
        """Returns the rows of one pass."""
        return sum(source.drawn_rows for source in self.sources)

    @property
    def tokens(self) -> int:
        """Returns the tokens of one pass, by the mean row of each source."""
        return round(sum(source.drawn_tokens for source in self.sources))

    @property
    def warnings(self) -> list[str]:
        """Returns sentences about sources that come too often or never."""
        said = []
        for one in self.sources:
            if one.epochs > REPEATS:
                said.append(
                    f"{one.name}: each row comes {one.epochs:.1f} times; more "
                    f"than {REPEATS} is worth less than new text."
                )
            elif not one.drawn_rows:
                said.append(f"{one.name}: its share is less than a row.")
        return said

    @property
    def fingerprint(self) -> str:
        """Returns a hash of everything that decides the order."""
        content = [[s.sha256, s.rows, s.drawn, s.stages] for s in self.sources]
        text = json.dumps([self.seed, self.order_sha256, content])
        return hashlib.sha256(text.encode()).hexdigest()

    def share(self, source: Source) -> float:
        """Returns a source's share of the tokens of one pass."""
        return source.drawn_tokens / sum(s.drawn_tokens for s in self.sources)

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `mixture.json`, which also says what counts
        it comes to.
        """
        sources = [
            {
                **asdict(one),
                "share": round(self.share(one), 6),
                "epochs": round(one.epochs, 4),
            }
            for one in self.sources
        ]
        return {
            "format": FORMAT,
            "version": VERSION,
            **asdict(self),
            "sources": sources,
            "rows": self.rows,
            "tokens": self.tokens,
            "warnings": self.warnings,
        }

    @classmethod
    def load(cls, folder: Path) -> "MixturePlan":
        """Reads `mixture.json`.

        Raises:
            InputError: It is damaged or of another version.
        """
        path = folder / MIXTURE
        content = read_json(path)
        found = content.get("format"), content.get("version")
        if found != (FORMAT, VERSION):
            raise InputError(
                f"Expected {FORMAT!r}, version {VERSION}, in {path}. Received: "
                f"{found}. Mix the sources again."
            )
        try:
            sources = tuple(_source(one) for one in content["sources"])
            names = [field.name for field in fields(cls)]
            values = {name: content[name] for name in names}
        except (KeyError, TypeError) as error:
            raise InputError(
                f"Expected all of a mixture in {path}. Received: without "
                f"{error}. Mix the sources again."
            ) from error
        return cls(**{**values, "sources": sources})

    def check_sources(self, folder: Path) -> None:
        """Refuses sources that were packed again since.

        Raises:
            InputError: One is missing or another than it was.
        """
        for source in self.sources:
            manifest = folder / source.folder / MANIFEST
            found = sha256_of(manifest) if manifest.is_file() else "nothing"
            if found != source.sha256:
                raise InputError(
                    f"Expected the rows of {source.name!r} that {folder} was "
                    f"mixed from, manifest {source.sha256:.12}. Received: "
                    f"{found:.12} in {manifest.parent}. Bring those rows back, "
                    "or mix again."
                )


def stage_sizes(rows: int, stages: int | Sequence[float]) -> tuple[int, ...]:
    """Returns the rows in each stage of a curriculum.

    Args:
        rows: Rows of the source.
        stages: How many equal ones, or the share of each.

    Raises:
        InputError: None, or a share that is not above 0.

    Example:

    >>> stage_sizes(10, 4), stage_sizes(10, (1, 2, 7))
    ((2, 3, 3, 2), (1, 2, 7))
    """
    parts = (1.0,) * stages if isinstance(stages, int) else tuple(stages)
    if not parts or not min(parts) > 0:
        raise InputError(
            "Expected a number of stages from 1, or shares above 0. Received: "
            f"{stages}. 4 makes four stages of as many rows each."
        )
    ends = [
        round(rows * sum(parts[:n]) / sum(parts)) for n in range(len(parts))
    ]
    return tuple(b - a for a, b in zip(ends, [*ends[1:], rows], strict=True))


def _source(content: dict[str, Any]) -> Source:
    values = {field.name: content[field.name] for field in fields(Source)}
    for name in ("drawn", "stages"):
        values[name] = tuple(values[name])
    return Source(**values)
