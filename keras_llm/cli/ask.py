"""The verb that asks a server: ask."""

from typing import Annotated

import typer

from keras_llm.cli import sampling_options as options
from keras_llm.cli.app import verb


@verb(
    'keras-llm ask http://localhost:8501 "Once upon a time"',
    'keras-llm ask grpc://localhost:8500 "Hello" --chat --temperature 0.8',
)
def ask(
    address: Annotated[
        str,
        typer.Argument(
            help="Of TensorFlow Serving or `keras-llm serve`: http://, "
            "https://, grpc:// or grpcs://, host and port."
        ),
    ],
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    name: Annotated[
        str, typer.Option(help="The model's name there.")
    ] = "saved_model",
    chat: Annotated[
        bool, typer.Option("--chat", help="The text is a message in a chat.")
    ] = False,
    max_new_tokens: Annotated[
        int, typer.Option(help="Most tokens of the answer.")
    ] = 64,
    temperature: options.Temperature = 0.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    seed: options.Seed = 0,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the answer.")
    ] = 60.0,
    token: Annotated[
        str | None,
        typer.Option(envvar="KERAS_LLM_TOKEN", help="A bearer token."),
    ] = None,
) -> None:
    """Ask a model in a server, and print its answer."""
    from keras_llm.export import ServingClient

    settings = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": stop or (),
        "seed": seed,
    }
    with ServingClient(address, name, timeout=timeout, token=token) as client:
        if chat:
            message = {"role": "user", "content": prompt}
            found = client.chat([message], **settings)
        else:
            found = client.generate(prompt, **settings)
    typer.echo(dict(found)["text"])
