"""Alertmanager's configuration and the words of its Slack messages."""

from collections.abc import Mapping

from agent.render.template import fill

_FILES = ("alertmanager.yml", "gpufin.tmpl")


def render(settings: Mapping[str, object]) -> dict[str, str]:
    """File name to text, for a fleet file dumped to plain values; both go into one folder."""
    return {name: fill(f"templates/{name}", settings) for name in _FILES}
