"""The lm-evaluation-harness's own tasks, over documents put into them."""

from pathlib import Path
from typing import Any


def peer_requests(
    path: str, docs: dict[str, list[dict]], num_fewshot: int = 0
) -> list[tuple[Any, ...]]:
    """Returns what the harness asks a model about the evaluated documents.

    Args:
        path: Of one of its task files, below `lm_eval/tasks`.
        docs: Documents by split, with the columns of the hub.
        num_fewshot: Solved examples in front of each.
    """
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    class Offline(ConfigurableTask):
        def download(self, *_: Any, **__: Any) -> None:
            self.dataset = datasets.DatasetDict(
                {
                    split: datasets.Dataset.from_list(rows)
                    for split, rows in docs.items()
                }
            )

    file = Path(lm_eval.tasks.__file__).parent / path
    # XQuAD's function needs a part of transformers that is no more.
    functions = not path.startswith("xquad")
    fields = load_yaml(file, resolve_func=functions, recursive=True)
    task = Offline(config=fields | {"num_fewshot": num_fewshot})
    task.set_fewshot_seed(1234)
    task.build_all_requests(limit=None)
    return [instance.arguments for instance in task.instances]
