"""The variables of every board, in one order: data source, then from the whole to the part."""

from grafanalib import core

from dashboards.rules.catalog import recorded

_CHAIN = ("cluster", "team", "model")


def variables() -> core.Templating:
    """Data source, cluster, team and model; each offers what the ones before leave."""
    chosen = [
        core.Template(name="datasource", label="Data source", type="datasource", query="prometheus")
    ]
    for place, name in enumerate(_CHAIN):
        before = (f'{earlier}=~"${earlier}"' for earlier in _CHAIN[:place])
        chosen.append(
            core.Template(
                name=name,
                label=name.capitalize(),
                type="query",
                dataSource="${datasource}",
                query=f"label_values({recorded('team:gpufin_cards:count', *before)}, {name})",
                includeAll=True,
                multi=True,
                sort=1,
                refresh=2,
                # Everything, also what has no team: a sum of money must not lose it.
                allValue=".*",
            )
        )
    return core.Templating(list=chosen)
