"""Published recipes: which steps, with which limits, in which order."""

from collections.abc import Callable

from keras_llm.data.duplicates.exact import exact_duplicates
from keras_llm.data.quality.c4 import c4_paragraphs, c4_quality
from keras_llm.data.quality.fineweb import fineweb_quality
from keras_llm.data.quality.gopher import gopher_quality
from keras_llm.data.quality.language_id import language
from keras_llm.data.quality.repetition import gopher_repetition
from keras_llm.data.steps import Step
from keras_llm.errors import check_choice


def recipe(name: str, unit: str) -> list[Step]:
    """Returns the steps of a published recipe, in its order and limits.

    - "gopher": quality, then repetition.
    - "massivetext": the same, then exact duplicates.
    - "c4": line and page rules, then English with a probability of 0.99.
    - "mc4": three long lines, then any language with 0.70.
    - "fineweb": English with 0.65, Gopher's repetition, Gopher's quality, C4
      without its terminal punctuation, FineWeb's own rules.

    Steps that need more than one document's text are not in it, exact
    duplicates aside: near and line duplicates, bad words, personal data.
    What a recipe of English rules does to other languages: it drops them.

    Args:
        name: The recipe.
        unit: What one document is, "page" or "paragraph". There is no
            default: most rules are for whole pages.

    Raises:
        InputError: There is no such recipe, it is for pages and `unit` is
            "paragraph", or a package that it needs is not installed.

    Source: "gopher", "massivetext": https://arxiv.org/abs/2112.11446; "c4":
    https://jmlr.org/papers/v21/20-074.html and c4_utils.py of TensorFlow
    Datasets; "mc4": https://arxiv.org/abs/2010.11934; "fineweb":
    https://arxiv.org/abs/2406.17557 and examples/fineweb.py of datatrove.

    Example:

    >>> [step.name for step in recipe("gopher", unit="paragraph")]
    ['gopher_quality', 'gopher_repetition']
    """
    check_choice("name", name, tuple(_RECIPES))
    check_choice("unit", unit, ("page", "paragraph"))
    return _RECIPES[name](unit)


def _gopher(unit: str) -> list[Step]:
    return [gopher_quality(), gopher_repetition()]


def _massivetext(unit: str) -> list[Step]:
    return [*_gopher(unit), exact_duplicates()]


def _c4(unit: str) -> list[Step]:
    return [c4_quality(unit=unit), language(threshold=0.99, short="drop")]


def _mc4(unit: str) -> list[Step]:
    return [
        c4_paragraphs(unit=unit),
        language(keep=None, threshold=0.70, short="drop"),
    ]


def _fineweb(unit: str) -> list[Step]:
    return [
        language(short="drop"),
        gopher_repetition(),
        gopher_quality(),
        c4_quality(terminal_punctuation=False, unit=unit),
        fineweb_quality(unit=unit),
    ]


_RECIPES: dict[str, Callable[[str], list[Step]]] = {
    "gopher": _gopher,
    "massivetext": _massivetext,
    "c4": _c4,
    "mc4": _mc4,
    "fineweb": _fineweb,
}
