"""Options of `keras-llm train` about what is shown of a run and kept."""

from typing import Annotated, Any

import typer

WATCHING, COST, SAVING = "Watching", "Cost", "Checkpoints"

Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Open TensorBoard beside the run and print its address.",
        rich_help_panel=WATCHING,
    ),
]
DetailEvery = Annotated[
    int,
    typer.Option(
        help="Steps between update norms and histograms; 0 for none.",
        rich_help_panel=WATCHING,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Steps to profile, FIRST:LAST, for example 10:12.",
        rich_help_panel=WATCHING,
    ),
]
Logger = Annotated[
    str | None,
    typer.Option(
        help="Also log to wandb or mlflow, which need their extra.",
        rich_help_panel=WATCHING,
    ),
]
Watts = Annotated[
    float | None,
    typer.Option(
        help="What the machine draws, where RAPL and nvidia-smi do not say.",
        rich_help_panel=COST,
    ),
]
Region = Annotated[
    str,
    typer.Option(
        help="Where the electricity is from, or grams of CO2 for a kWh.",
        rich_help_panel=COST,
    ),
]
PricePerHour = Annotated[
    float | None,
    typer.Option(help="Of the machine.", rich_help_panel=COST),
]
PricePerKwh = Annotated[
    float | None,
    typer.Option(help="Of electricity.", rich_help_panel=COST),
]
SaveInBackground = Annotated[
    bool,
    typer.Option(
        help="Write checkpoints while training goes on; takes memory.",
        rich_help_panel=SAVING,
    ),
]


def watched(**given: Any) -> dict[str, Any]:
    """Returns fields of `TrainConfig` from what these options say.

    Example:

    >>> watched(watts=90.0, save_in_background=False)
    {'save_in_background': False, 'watch': {'watts': 90.0}}
    """
    saving = given.pop("save_in_background")
    return {"save_in_background": saving, "watch": given}


def cost_facts(cost: dict[str, Any] | None) -> dict[str, str | None]:
    """Returns the lines about a run's cost for a table.

    Example:

    >>> cost_facts({"kwh": 1.5, "co2_kg": 0.72, "energy": "RAPL"})
    {'energy': '1.5 kWh (RAPL)', 'CO2': '0.72 kg', 'price': None}
    """
    known = cost or {}
    kwh, co2, price = (known.get(n) for n in ("kwh", "co2_kg", "price"))
    return {
        "energy": None if kwh is None else f"{kwh:.3g} kWh ({known['energy']})",
        "CO2": None if co2 is None else f"{co2:.3g} kg",
        "price": None if price is None else f"{price:.2f}",
    }
