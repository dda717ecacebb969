"""Chromium opens the page while rows are written: it shows each change, says nothing and asks no other host."""

import asyncio
from urllib.parse import urlsplit

import pytest

from equistudy.results.store import Store
from equistudy.watch.pacing import Pacer
from equistudy.watch.server import make_token, serve
from tests.watch.chromium import BROWSER, open_chromium

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]
HOSTILE = "</script><img src=x onerror=alert(1)> & \"'<b>bold</b>"


async def watch(follower, folder, act):
    """Serves the page, opens it, and lets `act` look at it while the study goes on."""
    urls, over = [], asyncio.Event()
    task = asyncio.create_task(serve(follower, make_token(), 0, urls.append, over.is_set))
    while not urls and not task.done():
        await asyncio.sleep(0.01)
    async with open_chromium(folder) as page:
        await page.open(urls[0])
        await act(page)
        assert page.console == []
        assert {urlsplit(url).netloc for url in page.requests if not url.startswith("data:")} == {
            urlsplit(urls[0]).netloc
        }
    over.set()
    await task


def count(state):
    return f"document.querySelectorAll('.cell .dot.s-{state}').length"


def test_states_change_while_rows_are_written(tmp_path, follower, loaded, place, write, beat, monkeypatch):
    monkeypatch.setattr(follower, "_analysis_pacer", Pacer(1.0, 0.1, 1.0))
    trial = loaded.study.design.identified_cells[23][0]
    write(dict.fromkeys(range(12, 24), "missing"))

    async def act(page):
        await page.wait_for(f"{count('done')} === 12 && {count('missing')} === 12")
        beat(trial, epoch=2, levels=HOSTILE)
        await page.wait_for(f"{count('running')} === 1")
        assert await page.evaluate("document.querySelector('#running td:nth-child(2)').textContent") == HOSTILE
        Store.open(place).delete(f"running/{trial}.json")
        await asyncio.to_thread(write, {20: "failed", 21: "missing"})
        await page.wait_for(f"{count('done')} === 22 && {count('failed')} === 1 && {count('missing')} === 1")
        assert "CUDA <out> of memory" in await page.evaluate("document.getElementById('failures').textContent")
        assert "Resume" not in await page.evaluate("document.getElementById('notices').textContent")
        await page.wait_for("document.querySelectorAll('#figures svg').length >= 2")
        assert "not final" in await page.evaluate("document.getElementById('verdicts-note').textContent")
        await page.evaluate("document.querySelector('.cell summary').click()")
        await page.wait_for("document.querySelectorAll('.cell[open] svg').length >= 2")
        await asyncio.to_thread(write, {20: "failed"})
        await page.wait_for("document.getElementById('notices').textContent.includes('final')")
        await page.wait_for("document.getElementById('verdicts-note').textContent.trim() === 'From 23 of 24 trials.'")
        for width in (1280, 768, 420):
            await page.resize(width, dark=width == 768)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate("[...document.images, ...document.querySelectorAll('b b')].length") == 0

    asyncio.run(watch(follower, tmp_path / "browser", act))


def test_a_study_that_died_says_how_to_resume(tmp_path, follower, loaded, write, beat):
    write({0: "missing"})
    trial = loaded.study.design.identified_cells[0][0]
    beat(trial, time=1_700_000_000)

    async def act(page):
        text = await page.wait_for("document.querySelector('.notice.warning')?.textContent")
        assert "stopped in the middle" in text
        assert "No process has written for" in text
        assert text.endswith("run capacity.py")

    asyncio.run(watch(follower, tmp_path / "browser", act))
