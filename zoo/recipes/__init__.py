"""Recipes of `keras-llm finetune --config NAME`: options that work together.

A recipe is a YAML file with options by name; flags win over it.
"""

from pathlib import Path

from keras_llm.errors import InputError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Returns the names of all recipes, sorted.

    Example:

    >>> names()
    ['chat-lora', 'chat-qlora', 'classify', 'dpo-lora']
    """
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def path(name: str) -> Path:
    """Returns the file of a recipe.

    Raises:
        InputError: There is none of this name.

    Example:

    >>> path("classify").name
    'classify.yaml'
    """
    if name not in names():
        raise InputError(
            f"Expected a recipe: {', '.join(names())}. Received: {name!r}."
        )
    return FOLDER / f"{name}.yaml"
