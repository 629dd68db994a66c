"""The compiled library, and scripts and processes that end with their test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.devices.harness import AgentProcess, Probe
from tests.nvml.library import Script, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled once for all test processes of a run."""
    return build(tmp_path_factory.getbasetemp().parent / "gpufin-nvml")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    script = Script(tmp_path / "script")
    script.counters = tmp_path / "counters"
    return script


@pytest.fixture
def start(tmp_path: Path, library: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Start an agent on a script; several get a directory each."""
    with ExitStack() as stack:
        started: list[AgentProcess] = []

        def starter(script: Script, **options: object) -> AgentProcess:
            directory = tmp_path / f"agent{len(started)}"
            agent = AgentProcess(directory, script, library, **options)  # type: ignore[arg-type]  # mixed kinds
            started.append(stack.enter_context(agent))
            return agent

        yield starter


@pytest.fixture
def probe(script: Script, library: Path) -> Iterator[Callable[..., Probe]]:
    """Run the source alone; the script is that of the test."""
    with ExitStack() as stack:

        def starter(*, other_library: Path | None = None, **variables: str) -> Probe:
            return stack.enter_context(Probe(script, other_library or library, variables))

        yield starter
