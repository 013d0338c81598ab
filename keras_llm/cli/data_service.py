"""The verb `data-service`."""

from typing import Annotated

import typer

from keras_llm.cli.app import verb
from keras_llm.cli.console import start_tensorflow


@verb(
    "keras-llm data-service --port 5050 --workers 4",
    "keras-llm data-service --dispatcher trainer:5050 --workers 16",
)
def data_service(
    workers: Annotated[
        int, typer.Option(help="Workers on this machine; 0: dispatch only.")
    ] = 1,
    port: Annotated[
        int, typer.Option(help="Of the dispatcher; 0 takes a free one.")
    ] = 0,
    dispatcher: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of one to work for; starts none here."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Name by which others reach this machine.")
    ] = "localhost",
) -> None:
    """Serve rows made on the fly, by `tf.data` service, until told to stop.

    A program reads from it with `data.from_service`. Every row comes once,
    but in no order that is promised, so a resumed run is not exact. Anyone
    who reaches the port can use it: keep it within a trusted network.
    """
    start_tensorflow()
    from keras_llm.data import DataService

    with DataService(workers, port, dispatcher, host) as service:
        typer.echo(f"{workers} workers, dispatcher {service.address}")
        service.wait()
