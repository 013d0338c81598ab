"""The verb that starts several workers on this machine."""

import sys
from typing import Annotated

import typer

from keras_llm.cli.app import verb
from keras_llm.cli.workers import Group
from keras_llm.errors import InputError

PROGRAM = (sys.executable, "-c", "from keras_llm.cli import main; main()")


@verb("keras-llm launch --workers 2 -- train runs/rows --steps 1000")
def launch(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="-- VERB ...", help="The verb to run, after two dashes."
        ),
    ],
    workers: Annotated[int, typer.Option(help="Processes to start.")] = 2,
    restarts: Annotated[
        int, typer.Option(help="How often to start again if one dies.")
    ] = 3,
) -> None:
    """Train with several processes on this machine; one may be killed.

    Each runs the same verb and computes its part of every batch; the first
    one writes. If one dies, all start again and continue from the last
    checkpoint, with the losses of an uninterrupted run. On several machines,
    start the verb itself on each: SLURM, Kubernetes and TF_CONFIG are read.
    GPUs that CUDA_VISIBLE_DEVICES names are shared out; on one machine
    `train --strategy mirrored` uses several with less communication.
    """
    if workers < 1 or restarts < 0:
        raise InputError(
            "Expected at least one worker and no negative restarts. "
            f"Received: --workers {workers} --restarts {restarts}."
        )
    group = Group([*PROGRAM, *words], workers, typer.echo)
    raise typer.Exit(group.run(restarts))
