"""Where a benchmark's documents are: a folder, named files, or the hub."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.hub_files import downloaded
from keras_llm.evaluate.harness.row_readers import ENDINGS, PACKED, rows_of
from keras_llm.evaluate.harness.task import Task

HUB = "hub"
_BUILDERS = ("json", "csv", "parquet", "text")


class _Name(NamedTuple):
    """A file's usual name, which may be a pattern, and how it is read."""

    pattern: str
    read_as: str | None = None


def documents(
    task: Task, split: str, data: str | os.PathLike | None = None
) -> list[dict[str, Any]]:
    """Returns the documents of a split, in the order of the file.

    A task whose `dataset_path` is "json", "csv", "parquet" or "text" names
    its files itself, in `dataset_kwargs.data_files`. For any other, `data` is
    searched, and in it the folders called like the task or its data set, for

    - the names of the split in the task's `metadata.files`; each a name, a
      pattern, or `{path: ..., read_as: ...}` with a name of
      `row_readers.READERS`;
    - the files of a copy of its repository on the Hugging Face hub,
      `NAME/SPLIT-*.parquet`, `data/SPLIT-*.parquet` and `SPLIT-*.parquet`;
    - `SPLIT.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`;

    each also with .gz, .bz2 or .xz behind it. The first that is there is read.

    Args:
        task: The task; its `process_docs` is not applied here.
        split: The name of the split, such as "test".
        data: A folder, or "hub" to download (and keep in the usual cache)
            what `task.dataset_path` names.

    Raises:
        InputError: Nothing is found, with the names that were looked for; a
            file is damaged, with the line; or there is no document in it.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "test.jsonl").write_text('{"a": 1}')
    >>> documents(Task(task="sums"), "test", folder)
    [{'a': 1}]
    """
    files, read_as = _files(task, split, data)
    rows = rows_of(files, read_as)
    if not rows:
        raise InputError(
            f"Expected documents in the {split} split of {task.task}. "
            f"Received: {files[0]}, which has none."
        )
    return rows


def _files(
    task: Task, split: str, data: str | os.PathLike | None
) -> tuple[list[Path], str | None]:
    """The files of a split, and their reader where the name doesn't say."""
    if task.dataset_path in _BUILDERS:
        return _named_files(task, split, data)
    _refuse_arguments(task, ("trust_remote_code",))
    if data == HUB:
        return downloaded(task, split), None
    if data is None:
        raise InputError(
            f"Expected a folder with the {split} split of {task.task}, "
            f"data=FOLDER. Received: none. {_how_to_get(task, split)}"
        )
    if not Path(data).is_dir():
        raise InputError(
            f"Expected a folder with benchmark data. Received: data={data}, "
            "which is none."
        )
    return _found(task, split, Path(data))


def _found(task: Task, split: str, data: Path) -> tuple[list[Path], str | None]:
    names = [*_own_names(task, split), *_usual_names(task, split)]
    for name in names:
        for folder in _folders(task, data):
            for ending in PACKED:
                files = sorted(folder.glob(name.pattern + ending))
                if files:
                    return files, name.read_as
    own = dict.fromkeys(name.pattern for name in _own_names(task, split))
    usual = f"{split}-*.parquet or {split}.({'|'.join(ENDINGS)})"
    raise InputError(
        f"Expected the {split} split of {task.task} in {data}, as "
        f"{', '.join([*own, usual])}. Received: none of them. "
        f"{_how_to_get(task, split)}"
    )


def _folders(task: Task, data: Path) -> list[Path]:
    """The most special first."""
    names = [task.task, (task.dataset_path or "").rpartition("/")[2]]
    return [data / name for name in dict.fromkeys(names) if name] + [data]


def _own_names(task: Task, split: str) -> Iterator[_Name]:
    """The names that the task file gives, and each without its folder."""
    files = (task.metadata or {}).get("files", {})
    given = files.get(split, []) if isinstance(files, dict) else None
    for entry in given if isinstance(given, list) else [given]:
        fields = {"path": entry} if isinstance(entry, str) else entry
        fields = fields if isinstance(fields, dict) else {}
        path = fields.get("path")
        if not isinstance(path, str) or not path or Path(path).is_absolute():
            raise InputError(
                f"Expected metadata.files of {task.task} to be lists by split "
                "of names in data=FOLDER, or of path and read_as. Received: "
                f"{files!r:.80}."
            )
        read_as = fields.get("read_as")
        yield _Name(path, read_as)
        yield _Name(path.rpartition("/")[2], read_as)


def _usual_names(task: Task, split: str) -> Iterator[_Name]:
    for folder in (task.dataset_name, "data", ""):
        if folder is not None:
            yield _Name(f"{folder}/{split}-*.parquet".lstrip("/"))
    for ending in ENDINGS:
        yield _Name(f"{split}.{ending}")


def _how_to_get(task: Task, split: str) -> str:
    if task.dataset_path is None:
        return f"Put it there as {split}.jsonl, one object per line."
    return (
        f'Pass data="{HUB}" to download it, or get it from '
        f"https://huggingface.co/datasets/{task.dataset_path}."
    )


def _named_files(
    task: Task, split: str, data: str | os.PathLike | None
) -> tuple[list[Path], str | None]:
    """`dataset_kwargs.data_files`, as the package datasets reads it."""
    given = _refuse_arguments(task, ("data_files",)).get("data_files")
    by_split = given if isinstance(given, dict) else {"train": given}
    found = by_split.get(split)
    names = found if isinstance(found, list) else [found]
    texts = [name for name in names if isinstance(name, str)]
    if not texts or texts != names:
        raise InputError(
            f"Expected dataset_kwargs.data_files of {task.task} to name files "
            f"of the split {split!r}. Received: {given!r:.80}. Write for "
            f"example data_files: {{{split}: {split}.jsonl}}."
        )
    here = Path() if data is None or data == HUB else Path(data)
    files = [here / name for name in texts]
    for file in files:
        if not file.is_file():
            raise InputError(
                f"Expected the {split} split of {task.task} at {file}. "
                "Received: no such file. Correct data_files in the task, or "
                "pass data=FOLDER, which relative names start from."
            )
    return files, task.dataset_path


def _refuse_arguments(task: Task, known: tuple[str, ...]) -> dict[str, Any]:
    given = task.dataset_kwargs or {}
    if unknown := sorted(set(given) - set(known)):
        raise InputError(
            f"Expected only {', '.join(known)} in dataset_kwargs of "
            f"{task.task}. Received: {', '.join(unknown)}. Remove it, or "
            "write the rows to a .jsonl file."
        )
    return given
