"""Small is a feature: a module or function that outgrows a screenful or two wants to be two."""

import ast
from pathlib import Path

import pytest

import agent

ROOT = Path(agent.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES, MAX_FUNCTION_LINES = 300, 50
LONGER = {"catalog.py": "one table of all metrics, read from top to bottom"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path: Path) -> None:
    """Modules of at most 300 lines, functions of 50; an exception has a reason."""
    name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= MAX_LINES or name in LONGER
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, node.name
