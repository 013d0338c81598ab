"""Which processes train together, as the environment says.

Read in this order; the first that names several processes counts:

- `TF_CONFIG`: TensorFlow's own JSON; `keras-llm launch` sets it.
- SLURM: inside a job step (`srun`), its `SLURM_STEP_...` variables.
- Kubernetes: `JOB_COMPLETION_INDEX`, which an indexed job sets, and
  `KERAS_LLM_HOSTS`, which you set: `job-0.service:2222,job-1.service:2222`.
"""

import dataclasses
import json
import os
from collections.abc import Mapping

from keras_llm.errors import InputError

HOSTS, INDEX = "KERAS_LLM_HOSTS", "JOB_COMPLETION_INDEX"
PORT = 8888  # of the first SLURM task on a node


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Processes that train together.

    Args:
        hosts: `host:port` of each process; the first one is the chief.
        index: Which of them this process is.

    Raises:
        InputError: The index is not one of the hosts, or a host is doubled.

    Example:

    >>> Cluster(("a:1", "b:1"), 1).tf_config()
    '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", \
"index": 1}}'
    """

    hosts: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < len(self.hosts):
            raise InputError(
                f"Expected a process index below {len(self.hosts)}, the "
                f"number of hosts. Received: {self.index} for "
                f"{', '.join(self.hosts)}."
            )
        if len(set(self.hosts)) < len(self.hosts):
            raise InputError(
                "Expected another host:port for each process. Received: "
                f"{', '.join(self.hosts)}."
            )

    def tf_config(self) -> str:
        """Returns the cluster as TensorFlow reads it from `TF_CONFIG`."""
        task = {"type": "worker", "index": self.index}
        cluster = {"worker": list(self.hosts)}
        return json.dumps({"cluster": cluster, "task": task})


def find_cluster(
    environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """Returns the processes that the environment names, or None for one.

    Args:
        environment: Environment variables. Default: this process's.

    Raises:
        InputError: They contradict each other or cannot be read.

    Example:

    >>> find_cluster({"KERAS_LLM_HOSTS": "a:1,b:1", "JOB_COMPLETION_INDEX":
    ...     "1"})
    Cluster(hosts=('a:1', 'b:1'), index=1)
    >>> find_cluster({}) is None
    True
    """
    for read in (_from_tf_config, _from_slurm, _from_kubernetes):
        cluster = read(environment)
        if cluster is not None and len(cluster.hosts) > 1:
            return cluster
    return None


def _from_tf_config(environment: Mapping[str, str]) -> Cluster | None:
    text = environment.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        hosts = [*jobs.get("chief", []), *jobs.get("worker", [])]
        index = int(task.get("index", 0))
        kind = task.get("type", "worker")
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            "Expected TF_CONFIG to be JSON with cluster and task. Received: "
            f"{text!r}."
        ) from error
    if kind not in ("chief", "worker") or set(jobs) - {"chief", "worker"}:
        raise InputError(
            "Expected a cluster of workers (and a chief) in TF_CONFIG. "
            f"Received: jobs {sorted(jobs)}, task type {kind!r}. Parameter "
            "servers and evaluators are not supported."
        )
    if kind == "worker":
        index += len(jobs.get("chief", []))
    return Cluster(tuple(hosts), index) if hosts else None


def _from_slurm(environment: Mapping[str, str]) -> Cluster | None:
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "SLURM_PROCID" not in environment or tasks == "1":
        return None
    from tensorflow.python.distribute.cluster_resolver import (
        slurm_cluster_resolver as slurm,
    )

    try:
        nodes = slurm.expand_hostlist(environment["SLURM_STEP_NODELIST"])
        counts = slurm.expand_tasks_per_node(
            environment["SLURM_STEP_TASKS_PER_NODE"]
        )
        index = int(environment["SLURM_PROCID"])
    except (KeyError, ValueError) as error:
        raise InputError(
            "Expected the variables of a SLURM job step. Received: "
            f"{error}. Start the processes with srun."
        ) from error
    hosts = [
        f"{node}:{PORT + task}"
        for node, count in zip(nodes, counts, strict=True)
        for task in range(count)
    ]
    return Cluster(tuple(hosts), index)


def _from_kubernetes(environment: Mapping[str, str]) -> Cluster | None:
    hosts = [h for h in environment.get(HOSTS, "").split(",") if h.strip()]
    if not hosts:
        return None
    if not environment.get(INDEX, "").isdigit():
        raise InputError(
            f"Expected {INDEX} beside {HOSTS}: which of the hosts this "
            f"process is. Received: {environment.get(INDEX)!r}. Use a "
            "Kubernetes job with completionMode: Indexed."
        )
    return Cluster(tuple(h.strip() for h in hosts), int(environment[INDEX]))
