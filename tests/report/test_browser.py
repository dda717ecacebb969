"""A page opened by a real browser says nothing on the console and asks for nothing outside its folder."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from equistudy.report.figures import Curve, LayerProfile
from equistudy.report.page import write_report
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]
OWN = "not an origin"
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


def opened(page: Path, folder: Path, width: int) -> tuple[list[str], set[str], int]:
    """What the browser writes to its console, the addresses it asks for outside files, and the size of its picture."""
    log, picture = folder / "net.json", folder / "picture.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", *QUIET]
    options += ["--enable-logging=stderr", f"--log-net-log={log}", f"--window-size={width},900"]
    command = [str(BROWSER), *options, f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    record = json.loads(log.read_text())
    kind = record["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    starts = [event["params"] for event in record["events"] if event["type"] == kind and "params" in event]
    # the browser's own services have no origin; a page that was opened as a file has the origin null
    asked = {start["url"] for start in starts if start.get("initiator", OWN) != OWN}
    return console, {url for url in asked if not url.startswith(("file:", "data:"))}, picture.stat().st_size


def test_the_browser_sees_what_a_page_must_not_do(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<script>console.error("wrong")</script><img src="http://equistudy.invalid/a.png">')
    console, asked, _ = opened(page, tmp_path, 600)
    assert any("wrong" in line for line in console)
    assert asked == {"http://equistudy.invalid/a.png"}


@pytest.mark.parametrize("width", [1280, 420])
def test_a_report_is_silent_and_alone(tmp_path, width):
    of = study(figures=(Curve(CORRELATION, WIDTH, CROP), LayerProfile(CORRELATION, WIDTH)))
    page = write_report(of, table(of), "capacity", "python -m equistudy report capacity.py", tmp_path / "report")
    console, asked, size = opened(page, tmp_path, width)
    assert console == []
    assert asked == set()
    assert size > 20_000
