"""The very first thing of the process."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import signal, sys, types
import agent.__main__
early = types.ModuleType("agent.cli")
early.main = lambda: print(sorted(s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
sys.modules["agent.cli"] = early
sys.argv = ["gpufin", *sys.argv[1:]]
agent.__main__.main()
print([name for name in ("pydantic", "click", "starlette") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("command", "blocked"),
    [
        ("run", ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"]),
        ("demo", ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"]),
        ("explain-price", []),
    ],
)
def test_an_agent_blocks_signals_before_it_imports_anything_large(
    command: str, blocked: list[str]
) -> None:
    """A reload while imports take their third of a second would end it; Ctrl-C ends the others."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.splitlines() == [str(blocked), "[]"]
