"""``python -m agent``: the same as the command ``gpufin``."""

from agent.cli import main

main()
