"""Which processes train together, as environments say it."""

import json

import pytest
import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.train import Cluster, find_cluster


def tf_config(index=0, kind="worker", **jobs) -> dict[str, str]:
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": task})}


def slurm(tasks="4", nodes="n[1-2]", per_node="2(x2)", index="3") -> dict:
    return {
        "SLURM_STEP_NUM_TASKS": tasks,
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": per_node,
        "SLURM_PROCID": index,
    }


@pytest.mark.parametrize(
    ("environment", "hosts", "index"),
    [
        (tf_config(1, worker=["a:1", "b:2"]), ("a:1", "b:2"), 1),
        (tf_config(0, chief=["c:1"], worker=["a:1"]), ("c:1", "a:1"), 1),
        (
            tf_config(0, "chief", chief=["c:1"], worker=["a:1"]),
            ("c:1", "a:1"),
            0,
        ),
        (slurm(), ("n1:8888", "n1:8889", "n2:8888", "n2:8889"), 3),
        (
            {
                "KERAS_LLM_HOSTS": "j-0.s:1, j-1.s:1",
                "JOB_COMPLETION_INDEX": "1",
            },
            ("j-0.s:1", "j-1.s:1"),
            1,
        ),
    ],
)
def test_environments_name_hosts(environment, hosts, index):
    assert find_cluster(environment) == Cluster(hosts, index)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        tf_config(worker=["a:1"]),
        slurm("1", "n1", "1", "0"),
        {"SLURM_JOB_ID": "7"},
        {"JOB_COMPLETION_INDEX": "3"},
        {"KERAS_LLM_HOSTS": "a:1", "JOB_COMPLETION_INDEX": "0"},
    ],
)
def test_one_process_is_no_cluster(environment):
    assert find_cluster(environment) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TF_CONFIG": "worker"}, "to be JSON"),
        ({"TF_CONFIG": "[]"}, "to be JSON"),
        (tf_config(2, worker=["a:1", "b:1"]), "index below 2.*Received: 2"),
        (tf_config(worker=["a:1", "a:1"]), "another host:port"),
        (tf_config(worker=["a:1"], ps=["b:1"]), "Parameter servers"),
        (tf_config(0, "evaluator", worker=["a:1", "b:1"]), "evaluator"),
        (slurm(nodes="n[1-"), "variables of a SLURM job step"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, "SLURM_STEP_NODE"),
        ({"KERAS_LLM_HOSTS": "a:1,b:1"}, "completionMode: Indexed"),
    ],
)
def test_contradictions_are_sentences(environment, said):
    with pytest.raises(InputError, match=said):
        find_cluster(environment)


def test_slurm_as_tensorflow_reads_it(monkeypatch):
    for name, value in slurm().items():
        monkeypatch.setenv(name, value)
    theirs = tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=2, gpus_per_task=1, auto_set_gpu=False
    )
    hosts = theirs.cluster_spec().as_dict()["worker"]
    assert find_cluster() == Cluster(tuple(hosts), theirs.get_task_info()[1])


def test_tensorflow_reads_what_we_write(monkeypatch):
    cluster = Cluster(("a:1", "b:1"), 1)
    monkeypatch.setenv("TF_CONFIG", cluster.tf_config())
    theirs = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert theirs.cluster_spec().as_dict() == {"worker": ["a:1", "b:1"]}
    assert (theirs.task_type, theirs.task_id) == ("worker", 1)
