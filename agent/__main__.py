"""The command ``gpufin``, and ``python -m agent``."""

import sys

from agent.runtime.lifecycle import block_signals

_AGENTS = frozenset({"run", "demo"})
"""The commands that wait for signals themselves."""


def main() -> None:
    """Run the command line."""
    if not _AGENTS.isdisjoint(sys.argv[1:2]):
        # Before the imports below, which take a third of a second: a reload that comes meanwhile, by a
        # service manager or a script, would end the process.
        block_signals()
    from agent.cli import main as command_line  # noqa: PLC0415 - see above

    command_line()


if __name__ == "__main__":
    main()
