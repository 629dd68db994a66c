"""What is committed under `dashboards/generated/` is what the generator makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.catalog import CATALOG
from dashboards.build import GENERATED, files
from dashboards.parts.names import UnknownNameError, check_names, series

ROOT = Path(__file__).resolve().parents[2]


def test_generated_files_are_committed_as_made() -> None:
    """No file differs, is missing or is left over."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in GENERATED.iterdir()}

    assert committed == files(), "run `python -m dashboards.build`"


def test_generated_files_do_not_depend_on_hash_order() -> None:
    """Two processes with other hash seeds write the same bytes."""
    program = "from dashboards.build import files; print(files())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2")
    }

    assert len(printed) == 1


def test_the_agent_ships_the_generated_folder() -> None:
    """The package reaches it by a relative link, which a wheel replaces with the files."""
    link = ROOT / "agent/render/generated"

    assert not link.readlink().is_absolute()
    assert link.resolve() == GENERATED.resolve()


def test_a_name_that_is_not_in_the_catalog_fails_the_build() -> None:
    """Metrics and labels are checked where a query is written."""
    with pytest.raises(UnknownNameError):
        series("gpufin_no_such_metric")
    with pytest.raises(UnknownNameError):
        series("gpufin_gpu_up", 'team="a"')
    with pytest.raises(UnknownNameError):
        check_names("sum(team:gpufin_no_such:sum)", {})
    for metric in CATALOG:
        assert series(metric.name) == metric.name
