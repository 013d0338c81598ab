"""`mix`: folders of packed rows to one that training reads."""

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data.folders import of_format
from keras_llm.data.hold_out import check_seed
from keras_llm.data.manifest import MANIFEST
from keras_llm.data.merging import check_alike
from keras_llm.data.mixtures.merged import merged_manifest, seen_from
from keras_llm.data.mixtures.mixed_rows import Mixture
from keras_llm.data.mixtures.plan import (
    FORMAT,
    MIXTURE,
    ORDER,
    MixturePlan,
    Source,
    stage_sizes,
)
from keras_llm.data.mixtures.scores import row_scores
from keras_llm.data.mixtures.weights import (
    capped_tokens,
    shares,
    temperature_weights,
)
from keras_llm.data.rows import Rows, open_rows
from keras_llm.errors import InputError
from keras_llm.files import new_folder, sha256_of

_log = logging.getLogger(__name__)

Weights = Mapping[str, float]


def mix(
    sources: Mapping[str, str | os.PathLike],
    out_folder: str | os.PathLike,
    weights: Weights | Sequence[Weights] | None = None,
    temperature: float | None = None,
    tokens: float | None = None,
    max_epochs: float | Mapping[str, float] | None = None,
    curriculum: str | Sequence[float] | np.ndarray | None = None,
    stages: int | Sequence[float] = 4,
    seed: int = 0,
) -> Mixture:
    """Mixes packed rows of several sources: a plan is written, no row copied.

    The folder holds `mixture.json` (counts, epochs, warnings, hashes of the
    sources) and `manifest.json`; read it with `open_rows`, like any rows.
    Held-out rows of all sources come together, each once. Sources come in
    turns (see `Interleave`): every window of the training has its shares.

    Args:
        sources: Name to a folder that `pack_corpus` wrote.
        out_folder: The folder to write. An earlier mixture there is replaced.
        weights: Share of the tokens from each source, in any unit; several
            for phases of equal length, one after the other (see
            `weight_schedule`). Default: by temperature.
        temperature: Instead of weights; see `temperature_weights`. Default:
            1, every source as large as it is.
        tokens: Of one pass of the mixture. Default: as many as all sources
            have. Ask for as many as the training is to take.
        max_epochs: How often a source may come at most, for all or by name;
            others get the surplus (see `capped_tokens`). With equal weights
            (`temperature=math.inf`) this is UniMax. Default: no limit, but a
            warning above 4.
        curriculum: "length", "compression" or "rarity" (see `row_scores`), or
            a number for each row of the sources, one source after the other:
            rows with low numbers come first within their source.
        stages: Of the curriculum: how many parts of as many rows each, or
            the share of each part. Within a stage rows are shuffled. One pass
            goes once from easy to hard.
        seed: Decides the order within each source.

    Raises:
        InputError: A folder holds no rows, sources of other tokenizers or
            row lengths, weights that are none, limits that leave too little.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 261)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in [("a", "a rose " * 90), ("b", "is " * 90)]:
    ...     _ = pack_corpus([Document(text, name)], tokenizer, folder / name, 8)
    >>> mixed = mix({name: folder / name for name in "ab"}, folder / "mixed",
    ...     temperature=math.inf, tokens=600, max_epochs=1)
    >>> [(one.name, one.epochs > 0.9) for one in mixed.plan.sources]
    [('a', False), ('b', True)]
    """
    check_seed(seed)
    opened = _opened(sources)
    names, most = list(opened), _limits(list(opened), max_epochs)
    sizes = [rows.info.tokens for rows in opened.values()]
    budget = sum(sizes) if tokens is None else tokens
    if not 0 < budget < math.inf:
        raise InputError(f"Expected tokens above 0. Received: {tokens}.")
    wanted = _shares(names, sizes, weights, temperature)
    limits = [limit * size for limit, size in zip(most, sizes, strict=True)]
    taken = capped_tokens(wanted, budget, limits)
    with new_folder(out_folder, of_format(MIXTURE, FORMAT)) as folder:
        # Where it will be, not where it is written.
        found = _sources(opened, wanted, taken, Path(out_folder))
        manifest = merged_manifest(opened, Path(out_folder))
        manifest.save(folder)
        plan = MixturePlan(
            seed=seed,
            sources=found,
            max_epochs=_finite(dict(zip(names, most, strict=True))),
        )
        if not plan.rows:
            raise InputError(
                f"Expected tokens for at least one row. Received: {budget:,}."
            )
        if curriculum is not None:
            plan = _with_curriculum(plan, opened, curriculum, stages, folder)
        text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False)
        (folder / MIXTURE).write_text(text + "\n", encoding="utf-8")
    for warning in plan.warnings:
        _log.warning("%s", warning)
    return Mixture(Path(out_folder), manifest, plan)


def _opened(sources: Mapping[str, str | os.PathLike]) -> dict[str, Rows]:
    """Opens the sources and refuses those that do not go together."""
    if not sources:
        raise InputError("Expected sources to mix. Received: none.")
    opened = {name: open_rows(folder) for name, folder in sources.items()}
    for rows in opened.values():
        if isinstance(rows, Mixture):
            raise InputError(
                f"Expected packed rows. Received: {rows.folder}, a mixture. "
                "Name its sources instead, with weights of their own."
            )
    manifests = [rows.manifest for rows in opened.values()]
    check_alike([rows.folder for rows in opened.values()], manifests)
    return opened


def _limits(
    names: Sequence[str], max_epochs: float | Mapping[str, float] | None
) -> list[float]:
    """Returns the epochs that each source may have."""
    if not isinstance(max_epochs, Mapping):
        most = math.inf if max_epochs is None else max_epochs
        max_epochs = dict.fromkeys(names, most)
    if set(max_epochs) - set(names) or not (
        min(max_epochs.values(), default=1) > 0
    ):
        raise InputError(
            f"Expected max_epochs above 0 for some of {', '.join(names)}. "
            f"Received: {dict(max_epochs)}."
        )
    return [max_epochs.get(name, math.inf) for name in names]


def _finite(limits: Mapping[str, float]) -> dict[str, float] | None:
    """Leaves out sources without a limit, which JSON has no number for."""
    kept = {name: most for name, most in limits.items() if most < math.inf}
    return kept or None


def _shares(
    names: Sequence[str],
    sizes: Sequence[int],
    weights: Weights | Sequence[Weights] | None,
    temperature: float | None,
) -> np.ndarray:
    """Returns the share of each source in each phase."""
    if weights is None:
        by_size = temperature_weights(
            sizes, 1 if temperature is None else temperature
        )
        weights = dict(zip(names, by_size, strict=True))
    elif temperature is not None:
        raise InputError(
            "Expected weights or a temperature, which makes weights. "
            f"Received: both, temperature={temperature}. Give one."
        )
    phases = [weights] if isinstance(weights, Mapping) else list(weights)
    if not phases:
        raise InputError("Expected weights of a phase. Received: no phase.")
    return shares(phases, names)


def _sources(
    opened: Mapping[str, Rows],
    wanted: np.ndarray,
    taken: np.ndarray,
    out_folder: Path,
) -> tuple[Source, ...]:
    """Returns what is taken, in rows; their sums are rounded, not each."""
    found = []
    for number, (name, rows) in enumerate(opened.items()):
        per_row = rows.info.tokens / rows.info.rows
        ends = np.rint(np.cumsum(taken[:, number]) / per_row).astype(int)
        found.append(
            Source(
                name=name,
                folder=seen_from(out_folder, rows.folder),
                sha256=sha256_of(rows.folder / MANIFEST),
                rows=rows.info.rows,
                tokens=rows.info.tokens,
                weight=round(float(wanted[:, number].mean()), 6),
                drawn=tuple(np.diff(ends, prepend=0).tolist()),
                stages=(rows.info.rows,),
            )
        )
    return tuple(found)


def _with_curriculum(
    plan: MixturePlan,
    opened: Mapping[str, Rows],
    curriculum: Any,
    stages: int | Sequence[float],
    folder: Path,
) -> MixturePlan:
    """Writes the rows of each source from easy to hard."""
    scores = _scores(opened, curriculum, folder)
    order, begin = np.empty(len(scores), np.int64), 0
    for source in plan.sources:
        here = slice(begin, begin + source.rows)
        order[here] = begin + np.argsort(scores[here], kind="stable")
        begin += source.rows
    np.save(folder / ORDER, order)
    return replace(
        plan,
        sources=tuple(
            replace(one, stages=stage_sizes(one.rows, stages))
            for one in plan.sources
        ),
        curriculum=curriculum if isinstance(curriculum, str) else "scores",
        order_sha256=sha256_of(folder / ORDER),
    )


def _scores(
    opened: Mapping[str, Rows], curriculum: Any, folder: Path
) -> np.ndarray:
    """Returns a number for each row of all sources."""
    number = sum(rows.info.rows for rows in opened.values())
    if isinstance(curriculum, str):
        manifest = merged_manifest(opened, folder)
        return row_scores(Rows(folder, "train", manifest), curriculum)
    scores = np.asarray(curriculum, np.float64)
    if scores.shape != (number,) or not np.isfinite(scores).all():
        raise InputError(
            f"Expected a finite number for each of the {number} rows of the "
            f"sources. Received: an array of shape {scores.shape}"
            f"{'' if np.isfinite(scores).all() else ' with NaN or infinity'}."
        )
    return scores
