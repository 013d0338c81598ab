"""What a folder says it is, so that only our own are ever replaced."""

import json
from collections.abc import Callable
from pathlib import Path


def of_format(marker: str, kind: str) -> Callable[[Path], bool]:
    """Returns a test of a folder: does its marker file name this format.

    Args:
        marker: Name of the JSON file that every folder of this kind has, for
            example "manifest.json".
        kind: What stands there as "format".

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "manifest.json").write_text('{"format": "rows"}')
    >>> of_format("manifest.json", "rows")(folder)
    True
    """

    def is_ours(folder: Path) -> bool:
        try:
            content = json.loads((folder / marker).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(content, dict) and content.get("format") == kind

    return is_ours
