"""Tasks by name or file: finding them, reading them, taking groups apart."""

import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.task import Task, TaskGroup
from keras_llm.evaluate.harness.yaml_source import Source, read

FOLDER = Path(__file__).parents[1] / "tasks"
_HIDDEN = "_"  # begins the name of a file that is only included by others


@dataclasses.dataclass
class Selection:
    """The tasks that were asked for, and the groups they came in.

    Attributes:
        tasks: Every task once, by name, in the order it was asked for.
        groups: Groups by name, the inner ones first.
        members: For each group its direct tasks and groups.

    Example:

    >>> Selection().tasks
    {}
    """

    tasks: dict[str, Task] = dataclasses.field(default_factory=dict)
    groups: dict[str, TaskGroup] = dataclasses.field(default_factory=dict)
    members: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def list_tasks() -> list[str]:
    """Returns the names of the tasks and groups that come with the library.

    Example:

    >>> isinstance(list_tasks(), list)
    True
    """
    return sorted(
        file.stem
        for file in FOLDER.glob("*.yaml")
        if not file.stem.startswith(_HIDDEN)
    )


def load_task(name: str | os.PathLike, **fields: Any) -> Task:
    """Reads one task.

    Args:
        name: A name of `list_tasks`, or a path of a YAML file.
        **fields: Fields of `Task` in place of those in the file.

    Raises:
        InputError: There is no such task or file, it is a group or a tag, or
            a value in it is wrong.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sums.yaml"
    >>> _ = path.write_text("task: sums\\ntest_split: test")
    >>> load_task(path, num_fewshot=2).num_fewshot
    2
    """
    entry = _find(str(name), Path())
    if not isinstance(entry, Source) or "group" in entry.values:
        raise InputError(
            f"Expected one task. Received: {name}, which stands for several. "
            "Pass it to evaluate_tasks or select_tasks."
        )
    return _build(Task, entry, fields)


def select_tasks(names: Iterable[str | os.PathLike | Task]) -> Selection:
    """Reads tasks, groups and tags.

    Args:
        names: Names of `list_tasks`, tags, paths of YAML files, or tasks.

    Raises:
        InputError: As `load_task`; or two different tasks have one name, or
            nothing is asked for.

    Example:

    >>> list(select_tasks([Task(task="sums")]).tasks)
    ['sums']
    """
    selection = Selection()
    for name in names:
        if isinstance(name, Task):
            _add(selection, name)
        else:
            _select(selection, str(name), Path(), ())
    if not selection.tasks:
        raise InputError(
            "Expected at least one task. Received: none. Those that come with "
            f"the library: {', '.join(list_tasks())}."
        )
    return selection


def _select(
    selection: Selection, name: str, folder: Path, above: tuple[str, ...]
) -> list[str]:
    """Adds what a name stands for; returns the names it is in reports."""
    entry = _find(name, folder)
    if isinstance(entry, Source):
        return [_add_source(selection, entry, above)]
    return [_add_source(selection, source, above) for source in entry]


def _add_source(
    selection: Selection, source: Source, above: tuple[str, ...]
) -> str:
    if "group" not in source.values:
        return _add(selection, _build(Task, source, {}))
    group = _build(TaskGroup, source, {})
    if group.group in above:
        raise InputError(
            f"Expected groups that do not contain themselves. Received: "
            f"{' > '.join((*above, group.group))}."
        )
    above = (*above, group.group)
    listed = [group.task] if isinstance(group.task, str) else group.task
    members = []
    for item in listed:
        if isinstance(item, str):
            members += _select(selection, item, source.path.parent, above)
        else:
            members.append(_add_fields(selection, item, source, above))
    selection.groups[group.group] = group
    selection.members[group.group] = members
    return group.group


def _add_fields(
    selection: Selection, item: Any, source: Source, above: tuple[str, ...]
) -> str:
    """A member given by its fields: a task, changed, or a group within."""
    place = source.places["task"]
    fields = item if isinstance(item, dict) else {}
    kind = "group" if "group" in fields else "task"
    if not isinstance(fields.get(kind), str):
        raise InputError(
            f"Expected names of tasks, or fields with a task, in {place}. "
            f"Received: {item!r:.60}."
        )
    # As in the harness: what has no file of its own is the group's.
    values = item | {kind: f"{above[-1]}::{item[kind]}"}
    places = dict.fromkeys(item, place)
    if _exists(item[kind], source.path.parent):
        found = _find(item[kind], source.path.parent)
        if isinstance(found, Source):
            values, places = found.values | item, found.places | places
    return _add_source(selection, Source(values, places, source.path), above)


def _add(selection: Selection, task: Task) -> str:
    if selection.tasks.setdefault(task.task, task) != task:
        raise InputError(
            f"Expected one task of each name. Received: two different ones "
            f"called {task.task}. Rename one."
        )
    return task.task


def _exists(name: str, folder: Path) -> bool:
    return any(path.is_file() for path in _places(name, folder))


def _places(name: str, folder: Path) -> list[Path]:
    if name.endswith((".yaml", ".yml")):
        return [folder / name]
    beside = [folder / f"{name}.yaml"] if folder != Path() else []
    return [*beside, FOLDER / f"{name}.yaml"]


def _find(name: str, folder: Path) -> Source | list[Source]:
    """The file of a name; for a tag the files that have it."""
    for path in _places(name, folder):
        if path.is_file():
            return read(path)
    tagged = [one for one in _library() if name in _tags(one)]
    if tagged:
        return tagged
    if name.endswith((".yaml", ".yml")):
        raise InputError(
            f"Expected a task file at {folder / name}. Received: no such file."
        )
    names = [*list_tasks(), *sorted({t for s in _library() for t in _tags(s)})]
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Name a YAML file."
    raise InputError(
        f"Expected a task: {', '.join(names)}, or a .yaml file. Received: "
        f"{name!r}. {hint}"
    )


@functools.cache
def _library() -> list[Source]:
    return [read(FOLDER / f"{name}.yaml") for name in list_tasks()]


def _tags(source: Source) -> list[str]:
    tag = source.values.get("tag") or []
    return [tag] if isinstance(tag, str) else tag


def _build(kind: type, source: Source, fields: dict[str, Any]) -> Any:
    """Makes the record; a mistake is told with its file and line."""
    values = source.values | fields
    known = list(kind.__dataclass_fields__)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Remove it."
            raise InputError(
                f"Expected a field of {kind.__name__}. Received: {key} in "
                f"{source.places.get(key, 'the call')}. {hint}"
            )
    try:
        return kind.from_dict(values)
    except InputError as error:
        named = [key for key in values if f" {key}" in str(error)]
        place = source.places.get(named[0]) if named else None
        raise InputError(f"{error} In {place or source.path}.") from error
