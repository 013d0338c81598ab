"""Published sets for lessons: on this disk, or downloaded and checked."""

import functools
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from keras_llm.errors import InputError, check_choice
from keras_llm.files import atomic_path, sha256_of
from keras_llm.progress import track

FOLDER = "KERAS_LLM_DATA"
SERVER = "https://raw.githubusercontent.com"
BLOCK = 1 << 16
SECONDS = 30


@functools.cache
def published() -> dict[str, dict[str, Any]]:
    """Returns what sets there are: name -> about, license, folder, files.

    Example:

    >>> published()["sms_spam"]["license"]
    'CC BY 4.0'
    """
    path = Path(__file__).with_name("published.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def download(name: str, folder: str | os.PathLike | None = None) -> Path:
    """Returns the folder of a published set, downloaded on first use.

    Files that are there are not downloaded again; every file's hash is
    checked once it is here.

    Args:
        name: One of `published()`: "the_verdict", "sms_spam", ...
        folder: Where sets are kept, a folder each. Default: the environment
            variable `KERAS_LLM_DATA`, else `~/.cache/keras_llm/data`.

    Raises:
        InputError: No such set, no connection, or a file is not the one that
            was published.
        OSError: The disk is full; no half file stays.

    Example (the files are there, so nothing is downloaded):

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "sms_spam").mkdir()
    >>> _ = (folder / "sms_spam" / "sms.tsv").write_text("ham\\thello")
    >>> [path.name for path in download("sms_spam", folder).iterdir()]
    ['sms.tsv']
    """
    check_choice("name", name, tuple(published()))
    about = published()[name]
    home = folder or os.environ.get(FOLDER) or "~/.cache/keras_llm/data"
    place = Path(home).expanduser() / about["folder"]
    for file, known in about["files"].items():
        if not (place / file).is_file():
            _download(known["from"], place / file, known["sha256"])
    return place


def _download(source: str, path: Path, sha256: str) -> None:
    """Downloads one file and keeps it if it has the hash."""
    address = f"{SERVER}/{urllib.parse.quote(source)}"
    with atomic_path(path) as temporary:
        try:
            _copy(address, temporary)
        except (urllib.error.URLError, http.client.HTTPException) as error:
            raise InputError(
                f"Expected to download {address}. Received: {error}. Check "
                f"the connection, or put the file at {path}."
            ) from error
        if sha256_of(temporary) != sha256:
            raise InputError(
                f"Expected the file published as {source}, with the SHA-256 "
                f"{sha256}. Received: another file from {address}. Nothing "
                "was kept; try again, or put the file there yourself: "
                f"{path}."
            )


def _copy(address: str, path: Path) -> None:
    """Writes what an address holds into a file, with a bar."""
    with (
        urllib.request.urlopen(address, timeout=SECONDS) as answer,
        open(path, "wb") as file,
    ):
        blocks = iter(functools.partial(answer.read, BLOCK), b"")
        total = answer.length
        for block in track(blocks, f"downloading {path.name}", total, len):
            file.write(block)
