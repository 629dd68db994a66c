"""What each card is and how much of its time it was held without computing."""

from dashboards.parts.names import series
from dashboards.rules.model import Group, Record

_CARD = ("cluster", "node", "uuid")
_FACTS = (*_CARD, "gpu", "model", "team")
_KIND = ("cluster", "team", "model")

_INFO = f"max by ({', '.join(_FACTS)}) ({series('gpufin_gpu_info')})"
_PRICED = series("gpufin_gpu_info", 'price_id!=""')
_HELD = series("gpufin_gpu_state_seconds_total", 'state="held"')

CARDS = Group(
    "gpufin-cards",
    (
        Record(
            name="card:gpufin_info:one",
            doc="1 for each card, once, whatever scrapes it; a change of facts never shows two.",
            by=_FACTS,
            expr=f"topk by ({', '.join(_CARD)}) (1, {_INFO})",
        ),
        Record(
            name="card:gpufin_held:ratio",
            doc="Share of the window in which somebody held the card and it computed nothing; none while an "
            "exemption says that this is meant to be.",
            by=_FACTS,
            expr=f"""
max by ({", ".join(_CARD)}) (rate({_HELD}[<< idle.window >>]))
* on ({", ".join(_CARD)}) group_left (gpu, model, team)
card:gpufin_info:one
unless on ({", ".join(_CARD)})
{series("gpufin_gpu_idle_exemption_info")}
""",
        ),
        Record(
            name="team:gpufin_cards:count",
            doc="Cards by team and model.",
            by=_KIND,
            expr=f"count by ({', '.join(_KIND)}) (card:gpufin_info:one)",
        ),
        Record(
            name="team:gpufin_cards_priced:count",
            doc="Cards for which a price holds; the others cost more than these sums say.",
            by=_KIND,
            expr=(
                f"count by ({', '.join(_KIND)}) "
                f"(max by ({', '.join((*_CARD, 'model', 'team'))}) ({_PRICED}))"
            ),
        ),
    ),
)
