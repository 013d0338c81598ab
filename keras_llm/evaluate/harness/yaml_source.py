"""Reading a task file and the files it includes, with the line of each key."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from keras_llm.errors import InputError


class Source(NamedTuple):
    """The values of a file, and where each of them stands.

    Attributes:
        values: As they are in the file and in those it includes.
        places: "file, line n" by key.
        path: The file.

    Example:

    >>> Source({"task": "a"}, {"task": "a.yaml, line 1"}, Path("a.yaml")).values
    {'task': 'a'}
    """

    values: dict[str, Any]
    places: dict[str, str]
    path: Path


def read(path: Path, including: tuple[Path, ...] = ()) -> Source:
    """Reads a task file; its own values win over those it includes.

    Args:
        path: A YAML file; `include` in it names one or several others beside
            it.
        including: The files that led here.

    Raises:
        InputError: A file is missing, is no YAML or includes itself.

    Source: the rule of the lm-evaluation-harness's `load_yaml`.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "base.yaml").write_text("test_split: test\\ntask: base")
    >>> path = folder / "mine.yaml"
    >>> _ = path.write_text("include: base.yaml\\ntask: mine")
    >>> read(path).values
    {'test_split': 'test', 'task': 'mine'}
    """
    path = path.resolve()
    if path in including:
        raise InputError(
            "Expected files that do not include themselves. Received: "
            f"{path}, which does."
        )
    values, places = _parse(path)
    named = values.pop("include", [])
    merged: dict[str, Any] = {}
    merged_places: dict[str, str] = {}
    for name in [named] if isinstance(named, str) else named:
        other = path.parent / name
        if not other.is_file():
            raise InputError(
                f"Expected a file to include at {other} "
                f"({places['include']}). Received: no such file."
            )
        base = read(other, (*including, path))
        merged |= base.values
        merged_places |= base.places
    return Source(merged | values, merged_places | places, path)


def _parse(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        hint = ""
        if "!function" in text:
            hint = (
                " A Python function cannot stand in a task file: write a "
                "template, or name a function of harness.prepare.PREPARE in "
                "process_docs."
            )
        said = " ".join(str(error).split())
        raise InputError(
            f"Expected YAML in {path}. Received: {said}.{hint}"
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise InputError(
            f"Expected values by name in {path}, such as `task: name`. "
            f"Received: {values!r:.40}."
        )
    lines = {
        str(key.value): f"{path}, line {key.start_mark.line + 1}"
        for key, _ in root.value
    }
    return values, lines
