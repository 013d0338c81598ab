"""All families of KerasHub that we know, by KerasHub's own names."""

from keras_llm.errors import InputError
from keras_llm.zoo import hub_dense, hub_experts, hub_gemma
from keras_llm.zoo.hub_family import HubFamily

HUB_FAMILIES: dict[str, HubFamily] = {
    thing.name: thing
    for module in (hub_dense, hub_gemma, hub_experts)
    for thing in vars(module).values()
    if isinstance(thing, HubFamily)
}
"""Name, for example "llama3" -> its tables."""


def hub_family(name: str) -> HubFamily:
    """Returns the family of this name.

    Raises:
        InputError: There is none.

    Example:

    >>> hub_family("qwen").classes
    'Qwen'
    """
    if name not in HUB_FAMILIES:
        raise InputError(
            f"Expected a family of KerasHub out of {', '.join(HUB_FAMILIES)}. "
            f"Received: {name!r}."
        )
    return HUB_FAMILIES[name]


def family_of(backbone: str) -> HubFamily:
    """Returns the family whose backbone class has this name.

    Raises:
        InputError: There is none.

    Example:

    >>> family_of("GPT2Backbone").name
    'gpt2'
    """
    names = {f"{f.classes}Backbone": f for f in HUB_FAMILIES.values()}
    if backbone not in names:
        raise InputError(
            f"Expected a KerasHub backbone out of {', '.join(names)}. "
            f"Received: {backbone}."
        )
    return names[backbone]
