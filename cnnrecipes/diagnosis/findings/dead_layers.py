"""Dead layers: those that the watch of a training shows to be dead or hardly updated."""

from __future__ import annotations

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, finds
from cnnrecipes.errors import listed

_DEAD = 0.5  # share of a layer's channels
_SHOWN = 3


@finds("dead_layers", order=35, live=True)
def dead_layers(evidence: Evidence) -> Finding | None:
    """Find layers most of whose channels have no activation."""
    dead = sorted((one for one in evidence.layers if one.dead >= _DEAD), key=lambda one: -one.dead)
    if not dead:
        return None
    names = listed([f"{one.name} ({one.dead:.0%})" for one in dead], _SHOWN)
    tries = (
        remedies.rate_times(evidence, 0.1, "large steps push channels below the floor of the activation"),
        remedies.key(
            "model.activation", "leaky_relu", f"now {evidence.recipe.model.activation}: has a gradient everywhere"
        ),
        *remedies.longer_warmup(evidence),
    )
    return Finding("dead_layers", "warning", "dead channels", (f"most channels are dead in {names}",), tries)
