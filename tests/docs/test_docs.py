"""The documentation tells the truth of this commit."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import agent
from agent.catalog import CATALOG
from agent.cli import cli
from agent.config.decode import load_settings
from agent.config.load import load
from agent.config.schema import Config
from tests.generate import DOCS, pages

REPOSITORY = DOCS.parent


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_generated_pages_equal_their_generator(path: Path) -> None:
    """A page that was edited, or not made again, fails; ``make generate`` mends it."""
    assert path.read_text(encoding="utf-8") == pages()[path]


def test_the_example_configuration_names_every_key() -> None:
    """config.example.yaml loads, and no key of the schema is missing in it."""
    text = (REPOSITORY / "config.example.yaml").read_text(encoding="utf-8")
    schema = Config.model_json_schema()
    keys = set(schema["properties"]).union(
        *(section.get("properties", {}) for section in schema["$defs"].values())
    )

    settings = load_settings(REPOSITORY / "config.example.yaml")

    assert settings.policy.table.prices
    # Alternatives of a key that is given stand there as comments.
    named = {key for key in keys if re.search(rf"^\s*(# )?(- )?{key}:", text, re.MULTILINE)}
    assert named == keys


def test_the_example_shows_the_defaults() -> None:
    """Where the example gives a key that has a default, it gives the default."""
    given = load(REPOSITORY / "config.example.yaml", Config)
    default = Config(currency="USD")

    for key in (
        "timezone",
        "listen",
        "state_directory",
        "source",
        "interval_seconds",
        "flush_seconds",
    ):
        assert getattr(given, key) == getattr(default, key), key
    assert given.activity == default.activity
    assert given.gaps == default.gaps


def test_every_section_of_the_schema_is_described() -> None:
    """No key without a description: the reference page has no empty cell."""
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    undescribed = [
        line for line in page.splitlines() if re.fullmatch(r"\| `.*` \| .* \|  \|", line)
    ]

    assert undescribed == []


def test_the_readme_shows_the_two_commands() -> None:
    """The first screen has them, word for word."""
    first_screen = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()[:20]

    assert any(line.startswith("make run ") for line in first_screen)
    assert any(line.startswith("make test ") for line in first_screen)


def test_the_readme_names_every_command_and_files_that_are_there() -> None:
    """A command that is left out of the table is not found; a file that is not there cannot be tried."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    assert [name for name in cli.commands if f"`gpufin {name}" not in text] == []
    files = re.findall(r"--(?:fleet|config) ([^ `]+\.yaml)", text)
    assert files
    assert all((REPOSITORY / name).exists() for name in files)


def test_the_readme_asks_for_a_price_that_the_example_has() -> None:
    """The command as it stands there, in a shell in the repository."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^gpufin (explain-price .*)$", text, re.MULTILINE)

    with contextlib.chdir(REPOSITORY):
        result = CliRunner().invoke(cli, shlex.split(line), standalone_mode=False)

    assert "2.500000 USD an hour by h100-on-demand-2026" in result.output


def test_the_changelog_knows_the_version_or_has_unreleased_lines() -> None:
    """Nothing ships that operators are not told of."""
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## [Unreleased]" in text or f"## [{agent.__version__}]" in text


def test_every_metric_of_the_catalogue_stands_in_the_reference() -> None:
    """One row each."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")

    assert all(f"| `{metric.name}` |" in page for metric in CATALOG)


def test_links_of_the_documentation_lead_somewhere() -> None:
    """Relative links of README.md and docs/ name files that exist."""
    for page in (REPOSITORY / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
