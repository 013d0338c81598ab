"""Moderation settings from a file: terms, rules, classifiers, an audit log."""

import dataclasses
from pathlib import Path
from typing import Any

from keras_llm.data.block_list import read_terms
from keras_llm.errors import InputError
from keras_llm.export.server.audit import AuditLog
from keras_llm.export.server.moderation import Classifier, Moderator, Rule
from keras_llm.files import read_settings
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModerationFile(Record):
    """What a file of moderation settings says; see `load_moderator`."""

    block_list: str | None = None
    rules: tuple[dict[str, Any], ...] = ()
    classifiers: tuple[dict[str, Any], ...] = ()
    audit_log: str | None = None
    audit_text: bool = False
    audit_allowed: bool = False
    window: int = 400


def load_moderator(path: str | Path) -> Moderator:
    """Reads moderation settings from a YAML or JSON file.

    The keys, all of which may be left out; paths are relative to the file:

    - `block_list`: a text file with a term in each line, `#` for comments.
    - `rules`: a list of `pattern`, `reason` and maybe `where`.
    - `classifiers`: a list of `function` ("module:name") and maybe
      `threshold`, `labels`, `reason`, `where`.
    - `audit_log`: a file that refusals are added to, with a hash of the text
      instead of the text unless `audit_text` is true; `audit_allowed` adds
      what passed too.
    - `window`: characters that a stream is held back at most.

    Raises:
        InputError: The file, or one it names, is missing or says something
            else than this.

    Example:

    >>> import json, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "moderation.json"
    >>> rule = {"pattern": "secret", "reason": "a secret"}
    >>> _ = path.write_text(json.dumps({"rules": [rule]}))
    >>> load_moderator(path).check("My secret", "input").reason
    'a secret'
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Expected a file of moderation settings. Received: {path}, "
            "which is none."
        )
    found = ModerationFile.from_dict(read_settings(path))
    audit = found.audit_log and AuditLog(
        path.parent / found.audit_log, found.audit_text, found.audit_allowed
    )
    return Moderator(
        read_terms(path.parent / found.block_list) if found.block_list else (),
        [Rule.from_dict(rule) for rule in found.rules],
        [Classifier.from_dict(one) for one in found.classifiers],
        audit or None,
        found.window,
    )
