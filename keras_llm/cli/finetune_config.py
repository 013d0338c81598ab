"""`--config` of `keras-llm finetune`: options in a file, flags before them."""

import difflib
from pathlib import Path
from typing import Any

import typer

from keras_llm.errors import InputError
from keras_llm.files import read_settings

LONG = ("epochs", "steps", "minutes")  # of which one is given


def take_config(ctx: typer.Context, value: str | None) -> str | None:
    """Puts a file's values in place of the options' defaults.

    Args:
        ctx: Of the command.
        value: What `--config` says.

    Raises:
        InputError: There is no such file or recipe, or it has a key that is
            no option.
    """
    if value is not None:
        parameters = {p.name: p for p in ctx.command.params if p.name}
        ctx.default_map = {
            name: _several(parameters[name], one)
            for name, one in read_config(value, list(parameters)).items()
        }
    return value


def flags_first(ctx: typer.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Returns options without a file's answer to what a flag says otherwise.

    `--steps 100` takes the place of a file's epochs.

    Args:
        ctx: Of the command.
        values: Its options.
    """

    def source(name: str) -> str:
        return getattr(ctx.get_parameter_source(name), "name", "")

    if "COMMANDLINE" not in map(source, LONG):
        return values
    other = [name for name in LONG if source(name) == "DEFAULT_MAP"]
    return values | dict.fromkeys(other)


def read_config(name: str, known: list[str]) -> dict[str, Any]:
    """Returns the options that a file sets, by their names in Python.

    Args:
        name: Path of a YAML or JSON file, or the name of a recipe.
        known: The options that there are.

    Raises:
        InputError: As for `take_config`.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.yaml"
    >>> _ = path.write_text("lora-alpha: 16")
    >>> read_config(str(path), ["lora", "lora_alpha"])
    {'lora_alpha': 16}
    """
    path = _found(name)
    values = {
        str(key).replace("-", "_"): one
        for key, one in read_settings(path).items()
    }
    names = sorted(set(known) - {"config", "help"})
    unknown = sorted(set(values) - set(names))
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(
            f"Expected only options of this command in {path}: "
            f"{', '.join(names)}. Received: {', '.join(unknown)}.{hint}"
        )
    return values


def _found(name: str) -> Path:
    """The file of this path, or of this recipe."""
    from keras_llm.zoo import recipes

    if not Path(name).is_file():
        names = recipes.names()
        if name not in names:
            raise InputError(
                "Expected --config with a YAML or JSON file, or a recipe: "
                f"{', '.join(names)}. Received: {name}, which is neither."
            )
        return recipes.path(name)
    return Path(name)


def _several(parameter: Any, value: Any) -> Any:
    """A value as its option takes it: a list, or words with commas."""
    if getattr(parameter, "multiple", False):
        return value if isinstance(value, list) else [value]
    return ",".join(map(str, value)) if isinstance(value, list) else value
