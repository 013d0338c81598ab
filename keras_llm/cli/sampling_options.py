"""Options of the verbs that continue a text: how the next token is chosen."""

from typing import Annotated

import typer

Temperature = Annotated[
    float, typer.Option(help="0 is greedy, 1 the model's distribution.")
]
TopK = Annotated[
    int, typer.Option(help="Sample among the k likeliest; 0: no limit.")
]
TopP = Annotated[
    float, typer.Option(help="Sample among this much probability.")
]
MinP = Annotated[
    float, typer.Option(help="Drop tokens below this share of the top.")
]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1: repeat less.")]
Stop = Annotated[
    list[str] | None, typer.Option(help="A string that ends the text.")
]
Seed = Annotated[int, typer.Option(help="Seed of the sampling.")]
