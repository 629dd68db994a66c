"""Recording and alert rules with the fleet's windows, budgets and addresses."""

from collections.abc import Mapping

from agent.render.template import fill

_FILES = ("recording.yaml", "alerts.yaml")


def render(settings: Mapping[str, object]) -> dict[str, str]:
    """File name to text, for a fleet file dumped to plain values."""
    return {name: fill(f"generated/{name}", settings) for name in _FILES}
