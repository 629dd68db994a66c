"""`deploy/` holds what the example fleet file renders to."""

import re

from tests.render.committed import EXAMPLE, files, settings


def test_deploy_holds_the_default_rendering() -> None:
    """Byte for byte."""
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run `make generate`"


def test_the_example_shows_every_default_as_it_is() -> None:
    """What is commented out as the default is the default."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    section = ""
    shown = {}
    for line in lines:
        if head := re.match(r"(?:# )?(\w+):", line):
            section = head[1]
        if key := re.match(r"# +(\w+): +([^#\[{\s]\S*)", line):
            shown[section, key[1]] = key[2]
    given = settings()

    assert len(shown) > 15
    for (name, shown_key), text in shown.items():
        value = given[name]
        found = (
            value[{"for": "pending"}.get(shown_key, shown_key)]
            if isinstance(value, dict)
            else value
        )
        assert str(found) == text, (name, shown_key)
