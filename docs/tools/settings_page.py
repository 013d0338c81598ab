"""The page of settings: the fields of each record, with default and meaning."""

import importlib

from api_pages import first_line
from docstrings import escape
from signatures import fields_of

# Where a person has something to choose, in the order of the work.
RECORDS = (
    "keras_llm.DecoderConfig",
    "keras_llm.Rope",
    "keras_llm.Experts",
    "keras_llm.train.TrainConfig",
    "keras_llm.train.WatchConfig",
    "keras_llm.GenerationSettings",
    "keras_llm.search.SweepConfig",
    "keras_llm.export.ServeSettings",
)

HEAD = """\
# Settings

The fields of the records in which a person chooses something. All are frozen,
checked when they are made, and travel as JSON; an unknown key is refused by
name. In Python they are keyword arguments.
"""


def settings_page() -> str:
    """Returns the page."""
    return "\n\n".join([HEAD, *map(_record, RECORDS)]) + "\n"


def _record(path: str) -> str:
    module, name = path.rsplit(".", 1)
    cls = getattr(importlib.import_module(module), name)
    page = module.rpartition(".")[2]
    rows = [
        f"| `{field}` | {_code(hint)} | {_code(default)} | {_cell(said)} |"
        for field, hint, default, said in fields_of(cls)
    ]
    return "\n".join(
        [
            f"## {name}",
            "",
            f"{first_line(cls)} [In the API](api/{page}.md#{path}).",
            "",
            "| field | type | default | |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def _code(text: str) -> str:
    """Code in a cell of a table, where `|` would end the cell."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def _cell(text: str) -> str:
    return escape(text).replace("|", "\\|")
