"""A benchmark's Parquet files from the Hugging Face hub."""

from pathlib import Path

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.task import Task

# The hub keeps a converted copy of every public data set on this branch, as
# CONFIGURATION/SPLIT/0000.parquet, whatever the data set's own files are.
# Source: https://huggingface.co/docs/dataset-viewer/parquet
BRANCH = "refs/convert/parquet"


def downloaded(task: Task, split: str) -> list[Path]:
    """Returns the files of a split, downloaded or from the hub's cache.

    `HF_HOME` moves the cache, `HF_TOKEN` opens private data sets; without a
    network, or with `HF_HUB_OFFLINE=1`, cached files are used.

    Args:
        task: Its `dataset_path` is a name on the hub, its `dataset_name` a
            configuration of it; None where it has only one.
        split: The name of the split.

    Raises:
        InputError: The task names no data set; the extra is not installed;
            the data set, or this part of it, is missing, private or gated;
            or there is no network and no copy in the cache.
    """
    if not task.dataset_path:
        raise InputError(
            f"Expected a task with a dataset_path to download. Received: "
            f"{task.task}, which has none. Pass data=FOLDER."
        )
    folder = _snapshot(task.dataset_path, f"{_part(task)}/{split}/*.parquet")
    files = sorted(folder.glob(f"{_part(task)}/{split}/*.parquet"))
    parts = sorted({file.parents[1].name for file in files})
    if len(parts) != 1:
        raise InputError(
            f"Expected one configuration of {task.dataset_path} with the "
            f"split {split!r} on the hub. Received: "
            f"{', '.join(parts) or 'none'}. Set dataset_name and the split "
            "as they are at "
            f"https://huggingface.co/datasets/{task.dataset_path}."
        )
    return files


def _part(task: Task) -> str:
    return task.dataset_name or "*"


def _snapshot(repo: str, pattern: str) -> Path:
    try:
        import httpx2
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise InputError(
            f"Expected huggingface_hub to download {repo}. Received: it is "
            'not installed. Do: pip install "keras_llm[hub]"'
        ) from error
    try:
        folder = snapshot_download(
            repo,
            repo_type="dataset",
            revision=BRANCH,
            allow_patterns=pattern,
        )
    except (
        errors.HfHubHTTPError,
        errors.HFValidationError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.RevisionResolutionError,
        httpx2.TransportError,
    ) as error:
        said = str(error.__cause__ or error).strip().partition("\n")[0]
        raise InputError(
            f"Expected the data set {repo} from the Hugging Face hub or its "
            f"cache. Received: {said or type(error).__name__}. Look at the "
            "spelling and the network (for a private one run `hf auth "
            "login`), or pass data=FOLDER."
        ) from error
    return Path(folder)
