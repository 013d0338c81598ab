"""Points for a power law, from the folders of runs and sweeps."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.files import read_json

BY = ("parameters", "flops", "tokens")
"""What x can be: the FLOPs are those of the whole training."""


def points(
    paths: Iterable[Path], by: str = "parameters"
) -> list[tuple[float, float]]:
    """Returns (x, loss) of runs; of those with equal x the best.

    Args:
        paths: Folders that `train.fit` or `sweep` wrote; of a sweep, its
            trials of full length count.
        by: "parameters", "flops" or "tokens".

    Raises:
        InputError: A folder holds neither a finished run nor a sweep.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> report = {"parameters": 10, "tokens": 5, "flops_per_token": 60,
    ...     "loss": 3.0, "validation_loss": 4.0}
    >>> _ = (folder / "report.json").write_text(json.dumps(report))
    >>> points([folder], by="flops")
    [(300.0, 4.0)]
    """
    if by not in BY:
        raise InputError(f"Expected one of {', '.join(BY)}. Received: {by!r}.")
    best: dict[float, float] = {}
    for path in paths:
        for run in _runs(path):
            x, loss = float(run[by]), run["validation_loss"]
            loss = run["loss"] if loss is None else loss
            best[x] = min(loss, best.get(x, loss))
    return sorted(best.items())


def _runs(path: Path) -> Iterator[dict[str, Any]]:
    report, table = path / "report.json", path / "trials.json"
    if report.is_file():
        found = read_json(report)
        yield found | {"flops": found["flops_per_token"] * found["tokens"]}
    elif table.is_file():
        rows = json.loads(table.read_text(encoding="utf-8"))
        done = [row for row in rows if row["status"] == "done"]
        longest = max((row["steps"] for row in done), default=0)
        yield from (row for row in done if row["steps"] == longest)
    else:
        raise InputError(
            f"Expected the folder of a finished run or sweep. Received: "
            f"{path}, which has no report.json and no trials.json."
        )
