"""The command that shows a study on a page while it runs, and the page that `run --watch` opens."""

import asyncio
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from equistudy.cli.group import Command
from equistudy.cli.options import STUDY_OPTIONS, add_options
from equistudy.cli.study_reference import DEFAULT_RESULTS, PROGRAM, StudyReference

if TYPE_CHECKING:
    from equistudy.watch.follower import StudyFollower

__all__ = ["LivePage", "watch"]

START_SECONDS = 300.0  # a busy machine takes long to import everything
FAREWELL_SECONDS = 60.0  # how long the page of a run that has ended stays while nobody looks at it


@click.command(
    cls=Command,
    examples=(
        "watch studies/capacity.py",
        "watch studies/capacity.py --results s3://bucket/results",
        "watch studies/capacity.py --port 8123",
    ),
)
@add_options(
    *STUDY_OPTIONS,
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        help="Port of the page on this machine. Default: a free one.",
    ),
    click.option("--with-driver", is_flag=True, hidden=True, help="End some time after stdin is closed."),
)
def watch(asked: StudyReference, port: int, with_driver: bool) -> None:
    """Show a running study on a page in the browser.

    The page is read from the results alone, so it works for studies that run on other machines, and before, during and
    after a run. It is served on this machine only; its address contains a secret. Ctrl-C ends it.
    """
    from equistudy.cli.status import load_requested_study
    from equistudy.results.files import open_files
    from equistudy.watch.follower import StudyFollower
    from equistudy.watch.server import make_token, serve

    loaded = load_requested_study(asked)
    follower = StudyFollower(
        loaded, asked.folder, _describe(asked, loaded.study.question, open_files(asked.folder).url)
    )
    is_over = _make_ending(follower) if with_driver else lambda: False
    output = sys.stdout  # which is another one while the study's code runs in a thread of the follower

    def announce(url: str) -> None:
        click.echo(f"Live page: {url}", file=output)
        output.flush()

    asyncio.run(serve(follower, make_token(), port, announce, is_over))


def _describe(asked: StudyReference, question: str, place: str) -> dict[str, str]:
    """What the page says about the study, with the commands that go on from there."""
    results = [] if asked.folder == DEFAULT_RESULTS else ["--results", asked.folder]
    return {
        "study": asked.name,
        "question": question,
        "results": place,
        "explain": " ".join([PROGRAM, "explain", *results]),
        **{verb: asked.format_command(verb) for verb in ("run", "watch")},
    }


def _make_ending(follower: "StudyFollower") -> Callable[[], bool]:
    """Whether the driver, which holds the other end of stdin, is gone and nobody looks at the page any more."""
    gone = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        gone.set()

    threading.Thread(target=wait, daemon=True).start()
    return lambda: gone.is_set() and follower.idle_seconds > FAREWELL_SECONDS


class LivePage:
    """The page of a run, in a process of its own, which does not slow the driver.

    That process ends a while after this one, however this one ends: then the pipe closes from which it reads.
    """

    def __init__(self, asked: StudyReference) -> None:
        command = [sys.executable, "-m", "equistudy", *asked.build_arguments("watch"), "--with-driver"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def announce(self, tell: Callable[[str], None]) -> None:
        """Tells the page's address as soon as it is known; the run does not wait for that."""
        threading.Thread(target=lambda: tell(self.read_announcement()), daemon=True).start()

    def read_announcement(self) -> str:
        """The line with the page's address, or why there is none: a run does without."""
        output = self._process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], START_SECONDS)
        line = output.readline().decode().strip() if ready else ""
        return line or f"No live page: it did not start. The run goes on; `{PROGRAM} watch` tells why."
