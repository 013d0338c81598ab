"""What an adapter is like: the choices, checked."""

import dataclasses
import re

from keras_llm.errors import InputError
from keras_llm.records import Record

ALL = "all-linear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora(Record):
    """A low-rank adapter: `y = x W + b + scale * drop(x) A B`.

    Args:
        rank: Columns of A and rows of B. Default: 8.
        alpha: The scale is `alpha / rank`. Default: 16.
        dropout: Share of A's inputs that are dropped in training.
        targets: Regular expressions that the end of a layer's path must
            match, in whole parts: "query" is every layer of this name,
            "block_3/.*" everything in a block. "all-linear" is every Dense.
            Default: query and value, as in the paper.
        rank_stabilized: Whether the scale is `alpha / sqrt(rank)` instead,
            so that a higher rank learns as fast (rsLoRA).
        dora: Whether each output also has a trained length, and LoRA moves
            the direction only (DoRA).

    Raises:
        InputError: A value is out of range, or a target is no regular
            expression.

    Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; Kalajdzievski
    2023, https://arxiv.org/abs/2312.03732 (rsLoRA); Liu et al. 2024,
    https://arxiv.org/abs/2402.09353 (DoRA).

    Example:

    >>> Lora(rank=4, alpha=8).scale, Lora(rank=4, rank_stabilized=True).scale
    (2.0, 8.0)
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value")
    rank_stabilized: bool = False
    dora: bool = False

    def __post_init__(self) -> None:
        self._positive("rank", "alpha")
        self._between("dropout", 0, 1)
        if self.dropout == 1:
            raise InputError(
                "Expected dropout below 1. Received: 1, which leaves an "
                "adapter nothing to learn from."
            )
        given = self.targets
        self._set("targets", (given,) if isinstance(given, str) else (*given,))
        if not self.targets:
            raise InputError(
                "Expected at least one target, a pattern of layer paths or "
                f'"{ALL}". Received: none.'
            )
        for target in self.targets:
            compiled(target)

    @property
    def scale(self) -> float:
        """The factor on `A B`."""
        root = self.rank**0.5 if self.rank_stabilized else self.rank
        return self.alpha / root

    def wants(self, path: str) -> bool:
        """Says whether a layer of this path gets an adapter.

        Example:

        >>> [Lora().wants(f"block_0/attention/{name}")
        ...     for name in ("query", "query_norm", "key")]
        [True, False, False]
        """
        return matches(self.targets, path)


def matches(patterns: tuple[str, ...], path: str) -> bool:
    """Says whether the end of a path is one of the patterns.

    Example:

    >>> matches(("mlp/.*",), "block_0/mlp/up"), matches((ALL,), "head")
    (True, True)
    """
    return ALL in patterns or any(
        compiled(pattern).fullmatch(path) for pattern in patterns
    )


def compiled(pattern: str) -> re.Pattern:
    """Returns a pattern for the end of a path, in whole parts.

    Raises:
        InputError: It is no regular expression.

    Example:

    >>> bool(compiled("query").fullmatch("block_0/attention/query"))
    True
    """
    try:
        return re.compile(f"(?:.*/)?(?:{pattern})")
    except (re.error, TypeError) as error:
        raise InputError(
            "Expected a regular expression for the paths of layers. "
            f"Received: {pattern!r} ({error})."
        ) from error
