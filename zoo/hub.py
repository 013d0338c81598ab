"""Models from the Hugging Face hub: only what is needed, pinned and checked.

`huggingface_hub` downloads, resumes and caches. Here it is told which files,
every file is compared with the hash that the hub states for it, and what can
go wrong becomes a sentence.
"""

import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.files import sha256_of
from keras_llm.progress import track
from keras_llm.weights import INDEX_FILE, SINGLE_FILE

BESIDE_WEIGHTS = (
    *("config.json", "generation_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "tokenizer.model", "spiece.model"),
    *("vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja"),
)
SHA256_DIGITS = 64


class Download(NamedTuple):
    """What is on this disk now.

    Attributes:
        folder: Holds the files, in the hub's cache.
        repo: The repository.
        revision: The commit of the repository that they are from.
    """

    folder: Path
    repo: str
    revision: str


def download(repo: str, revision: str | None = None) -> Download:
    """Downloads a model from the Hugging Face hub, or finds it in the cache.

    Only safetensors, configs and tokenizer files are taken. A line that was
    cut is taken up where it was; after a kill, whole files are kept. Every
    file is compared with its hash on the hub each time. Without a network,
    or with `HF_HUB_OFFLINE=1`, cached files are used. `HF_HOME` moves the
    cache, `HF_TOKEN` or `hf auth login` opens private and gated models,
    `HF_ENDPOINT` names another server.

    Args:
        repo: "owner/name".
        revision: Branch, tag or commit. Default: the main branch.

    Raises:
        InputError: The extra is not installed; the repository, revision or
            a file in it is missing, private or gated; the network is not
            there and the cache has no copy; a file is not what the hub says.

    Example:

    >>> Download(Path("snapshot"), "openai-community/gpt2", "607a30d").repo
    'openai-community/gpt2'
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            f"Expected a local folder, or the library that downloads {repo}. "
            "Received: a Python without huggingface_hub. Run: pip install "
            '"keras_llm[hub]"'
        )
    import huggingface_hub as hub

    if not hasattr(hub.HfApi, "resolve_revision"):
        raise InputError(
            "Expected huggingface_hub 2.4 or newer. Received: "
            f'{hub.__version__}. Run: pip install --upgrade "keras_llm[hub]"'
        )
    with _sentences(repo, revision):
        pinned = hub.HfApi().resolve_revision(repo, revision=revision)
        commit = pinned.resolved
        listed = _listed(repo, commit)
        if listed is None:
            return Download(_cached(repo, commit), repo, commit)
        names = _needed(repo, commit, listed)
        folder = hub.snapshot_download(
            repo,
            revision=commit,
            allow_patterns=names,
            max_workers=1,  # a kill loses the part of one file, not of eight
            tqdm_class=_bar(),
        )
    _check(Path(folder), {name: _hash(listed[name]) for name in names})
    return Download(Path(folder), repo, commit)


def _listed(repo: str, commit: str) -> dict[str, Any] | None:
    """The files at the root of a repository; None without a network."""
    import huggingface_hub as hub
    from httpx2 import TransportError

    try:
        tree = hub.HfApi().list_repo_tree(repo, revision=commit)
        return {f.path: f for f in tree if isinstance(f, hub.RepoFile)}
    except (TransportError, hub.errors.OfflineModeIsEnabled):
        return None


def _cached(repo: str, commit: str) -> Path:
    """The folder of a commit in the cache, its files compared."""
    import huggingface_hub as hub

    found = hub.try_to_load_from_cache(repo, "config.json", revision=commit)
    if not isinstance(found, str):
        raise hub.errors.LocalEntryNotFoundError(f"{repo} at {commit}")
    folder = Path(found).parent
    # A file of the cache is a link to one that is named by its hash.
    links = [path for path in folder.iterdir() if path.is_symlink()]
    _check(folder, {path.name: path.resolve().name for path in links})
    return folder


def _needed(repo: str, commit: str, listed: Mapping[str, Any]) -> list[str]:
    """The names of the files that make a model."""
    import huggingface_hub as hub

    weights = [SINGLE_FILE]
    if SINGLE_FILE not in listed and INDEX_FILE in listed:
        index = hub.hf_hub_download(repo, INDEX_FILE, revision=commit)
        places = json.loads(Path(index).read_text(encoding="utf-8"))
        weights = [INDEX_FILE, *sorted({*places["weight_map"].values()})]
    names = ["config.json", *weights]
    if missing := [name for name in names if name not in listed]:
        raise InputError(
            f"Expected {', '.join(missing)} in {repo} on the hub. Received: "
            f"{', '.join(sorted(listed)) or 'an empty repository'}. Only "
            "safetensors are read: other formats (.bin) can run code when "
            "opened. Choose a repository with safetensors, or save one with "
            "transformers: model.save_pretrained(FOLDER)."
        )
    beside = [name for name in BESIDE_WEIGHTS if name in listed]
    return [*dict.fromkeys([*names, *beside])]


def _bar() -> type:
    """The hub's progress bar, quiet when nobody watches."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            quiet = {} if sys.stderr.isatty() else {"disable": True}
            super().__init__(*args, **(kwargs | quiet))

    return Bar


def _hash(file: Any) -> str:
    return file.lfs.sha256 if file.lfs else file.blob_id


def _check(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compares files with their hashes; a wrong one is removed."""
    sizes = {name: (folder / name).stat().st_size for name in hashes}
    for name in track(
        hashes, "checking files", sum(sizes.values()), sizes.__getitem__
    ):
        expected, found = hashes[name], _hash_of(folder / name, hashes[name])
        if found != expected:
            (folder / name).resolve().unlink(missing_ok=True)
            (folder / name).unlink(missing_ok=True)
            raise InputError(
                f"Expected {name} with the hash {expected} that the hub "
                f"states. Received: a file with {found}. It was changed or "
                "damaged on its way, and was removed: run the same again to "
                "download it once more."
            )


def _hash_of(path: Path, like: str) -> str:
    """SHA-256 of a large file, git's hash of a small one."""
    if len(like) == SHA256_DIGITS:
        return sha256_of(path)
    data = path.read_bytes()
    head = f"blob {len(data)}\0".encode()
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _sentences(repo: str, revision: str | None) -> Iterator[None]:
    """Turns the hub's errors into sentences that say what to do."""
    import httpx2
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f"Expected a model that may be downloaded. Received: {repo}, "
            f"which is gated. Accept its terms at {constants.ENDPOINT}/{repo}, "
            "then run `hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"Expected a model on the hub at {constants.ENDPOINT}. Received: "
            f"{repo!r}, which does not exist or is private. Look at the "
            "spelling; for a private one run `hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"Expected a branch, tag or commit of {repo}. Received: "
            f"revision={revision!r}, which does not exist."
        ) from error
    except errors.HFValidationError as error:
        raise InputError(
            f"Expected a name on the hub, owner/name. Received: {repo!r} "
            f"({error})."
        ) from error
    except (
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        httpx2.TransportError,
    ) as error:
        raise InputError(
            f"Expected {repo} in the cache at {constants.HF_HUB_CACHE}, or a "
            f"network that reaches {constants.ENDPOINT}. Received: neither "
            f"({_first_line(error)}). Connect and run the same again: what "
            "was downloaded is kept. Or pass the path of a local folder."
        ) from error
    except errors.HfHubHTTPError as error:
        raise InputError(
            f"Expected {constants.ENDPOINT} to send {repo}. Received: "
            f"{_first_line(error)}. Run the same again later: what was "
            "downloaded is kept."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
