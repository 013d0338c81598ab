"""Where the time of a training step goes: TensorFlow's operations, by kind.

    python benchmarks/profile_step.py [--size base] [--precision float32]

Our step of a size of `_train_peers.py`, on one core without threads between
operations, so that their times add up. TensorFlow's profiler records three
steps; printed are milliseconds of a step by kind of operation, nested ones
(the whole step, XLA's executions) apart from the rest.
"""

import argparse
import collections
import os
import tempfile
from pathlib import Path
from typing import Any

import _train_peers as peers

WARM, STEPS = 2, 3


def recorded(trainer: Any, size: peers.Size) -> collections.Counter:
    """Milliseconds of a step by kind of operation."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    data = peers.batches(WARM + STEPS, size)
    trainer.fit(data, steps_per_epoch=WARM, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            trainer.fit(data, steps_per_epoch=STEPS, shuffle=False, verbose=0)
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found: collections.Counter = collections.Counter()
    for plane in space.planes:
        for line in plane.lines if "CPU" in plane.name else ():
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                milliseconds = event.duration_ps / 1e9 / STEPS
                found[name.rpartition(":")[2] or name] += milliseconds
    return found


def main() -> None:
    """Reads the command line and prints the longest."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=peers.SIZES, default="base")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--rows", type=int, default=30)
    chosen = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    size = peers.SIZES[chosen.size]
    trainer = peers.trainer(peers.our_decoder(size, chosen.precision))
    found = recorded(trainer, size)
    for name, milliseconds in found.most_common(chosen.rows):
        print(f"{milliseconds:9.1f} ms  {name}")


if __name__ == "__main__":
    main()
