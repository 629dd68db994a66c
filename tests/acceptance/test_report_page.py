"""The report as a real Chromium shows and prints it."""

import re
import subprocess
from pathlib import Path

import pytest

from agent.render.report.document import document
from agent.render.report.page import html
from tests.acceptance.programs import tool
from tests.render.test_report import a_report

LONG = "a-team-with-a-name-that-is-as-long-as-the-file-lets-one-write-63"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of many teams, the width of the page told in its title by a script of the test."""
    report = a_report(*(f"{LONG}-{number}" for number in range(12)))
    text = html([(report, document(report))], made="made by a test")
    assert not re.search(r"https?://|<script|@import|url\(", text)
    told = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(text.replace("</body>", told), encoding="utf-8")
    return path


def chromium(page: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            tool("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={page.parent / 'profile'}",
            *arguments,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_is_as_wide_as_the_window(page: Path, width: int) -> None:
    """Only tables scroll sideways, each by itself; 500 is the narrowest that headless makes."""
    shown = chromium(page, "--dump-dom", f"--window-size={width},900")

    found = re.search(r"<title>(\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= width
    assert "78.00 USD" in shown
    assert len(re.findall("<rect", shown)) == 12


def test_the_page_prints(page: Path) -> None:
    """To more than one page of paper."""
    target = page.parent / "report.pdf"

    chromium(page, f"--print-to-pdf={target}")

    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
