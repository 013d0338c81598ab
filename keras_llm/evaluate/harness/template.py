"""Text fields of a task, filled with a document's columns."""

import ast
import functools
import re
from typing import Any, Protocol

import jinja2
import jinja2.sandbox

from keras_llm.errors import InputError


class Fields(Protocol):
    """What `Task` and `FewShot` have in common."""

    @property
    def doc_to_text(self) -> str | int | None:
        """The question."""
        ...

    @property
    def doc_to_target(self) -> str | int | list | None:
        """The answer."""
        ...

    @property
    def doc_to_choice(self) -> str | list | dict | None:
        """The choices."""
        ...


def fill(template: str, doc: dict[str, Any], where: str) -> Any:
    r"""Returns a column of a document, or a template filled with its columns.

    Templates are Jinja's, in its sandbox, with the filter
    `regex_replace(pattern, replacement)`.

    Args:
        template: A column's name, or a template.
        doc: The document.
        where: The task, field and document, for errors.

    Raises:
        InputError: The template is wrong, or asks for a column that the
            document doesn't have.

    Source: `apply_template` of the lm-evaluation-harness.

    Example:

    >>> fill("Question: {{question}}\nAnswer:", {"question": "1+1?"}, "sums")
    'Question: 1+1?\nAnswer:'
    """
    if template in doc:
        return doc[template]
    try:
        return _compiled(template).render(**doc)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"Expected a Jinja template for {where}. Received: "
            f"{template!r:.80}, whose line {error.lineno} is wrong: {error}."
        ) from error
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # whatever an expression of the template does
        raise InputError(
            f"Expected {template!r:.80} to be filled for {where}. Received: "
            f"{error}. The columns are: {', '.join(map(str, doc))}."
        ) from error


def text(fields: Fields, doc: dict[str, Any], where: str) -> str | int:
    """Returns the question, or the number of the right one of several.

    A template that gives only digits is a number where there are choices.

    Raises:
        InputError: As `fill`.

    Example:

    >>> from keras_llm.evaluate.harness import Task
    >>> text(Task(task="a", doc_to_text="q"), {"q": "Why?"}, "a")
    'Why?'
    """
    field = fields.doc_to_text
    if not isinstance(field, str):
        return "" if field is None else field
    value = _column(field, doc, f"{where}, doc_to_text")
    if fields.doc_to_choice is None:
        return str(value)
    return value if isinstance(value, int) else _number(str(value))


def target(fields: Fields, doc: dict[str, Any], where: str) -> Any:
    """Returns the answer: a text, a choice's number, or a list of them.

    A template that gives only digits is a number where there are choices; one
    that gives a Python list is that list.

    Raises:
        InputError: As `fill`, or the task has no `doc_to_target`.

    Example:

    >>> from keras_llm.evaluate.harness import Task
    >>> task = Task(task="a", doc_to_target="{{label}}", doc_to_choice="c")
    >>> target(task, {"label": 1, "c": ["no", "yes"]}, "a")
    1
    """
    field = fields.doc_to_target
    if field is None:
        raise InputError(
            f"Expected doc_to_target for {where}. Received: none. Name the "
            "column of the answer."
        )
    if not isinstance(field, str):
        return field
    value = _column(field, doc, f"{where}, doc_to_target")
    if not isinstance(value, str) or field in doc:
        return value
    if fields.doc_to_choice is not None and value.isdecimal():
        return int(value)
    if value.startswith("[") and value.endswith("]"):
        return _literal(value)
    return value


def choices(fields: Fields, doc: dict[str, Any], where: str) -> list[str]:
    """Returns the choices of a document; none where the task has none.

    Raises:
        InputError: As `fill`, or what stands there is no list of texts.

    Example:

    >>> from keras_llm.evaluate.harness import Task
    >>> choices(Task(task="a", doc_to_choice=["no", "yes"]), {}, "a")
    ['no', 'yes']
    """
    field = fields.doc_to_choice
    if field is None:
        return []
    found: Any = field
    if isinstance(field, dict):
        found = list(field.values())
    elif isinstance(field, str):
        found = _column(field, doc, f"{where}, doc_to_choice")
        found = found if field in doc else _literal(found)
    texts = isinstance(found, list) and all(isinstance(c, str) for c in found)
    if not texts or not all(found) or not found:
        raise InputError(
            f"Expected a list of texts for {where}, doc_to_choice. Received: "
            f"{found!r:.80}."
        )
    return found


def _column(field: str, doc: dict[str, Any], where: str) -> Any:
    """As `fill`; but a single word that is no column is a mistake."""
    if field.isidentifier() and field not in doc:
        raise InputError(
            f"Expected a column {field} for {where}. Received the columns: "
            f"{', '.join(map(str, doc))}. Name one of them; the mere word "
            f"would be {{{{'{field}'}}}}."
        )
    return fill(field, doc, where)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["regex_replace"] = _regex_replace
    return environment


@functools.lru_cache(maxsize=256)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def _regex_replace(value: str, pattern: str, new: str, count: int = 0) -> str:
    return re.sub(pattern, new, value, count=count)


def _number(value: str) -> str | int:
    return int(value) if value.isdecimal() else value


def _literal(value: Any) -> Any:
    """A Python list written as text; what is none stays as it is."""
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
