"""What is shown on a screen and in a log, with a clock that the test moves."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from equistudy.cli.display import Display, format_duration
from equistudy.running.job import TrialPhase, TrialProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., tuple[Display, Console]]


@pytest.fixture
def make(clock: Clock) -> Make:
    def make(screen: bool = False, expected: dict[str, float | None] | None = None) -> tuple[Display, Console]:
        console = Console(
            file=io.StringIO(),
            record=True,
            width=80,
            force_terminal=screen,
            force_interactive=screen,
            color_system=None,
        )
        return Display(console, "python -m equistudy run x.py", expected or {}, clock), console

    return make


def sign(trial: str, phase: str = TrialPhase.TRAINING, epoch: int = 0, message: str | None = None) -> TrialProgress:
    return TrialProgress(trial, phase, epoch, 10, f"width={trial[-1]}, seed=0", message)


def drawn(display: Display) -> list[str]:
    """The live view as it stands now."""
    console = Console(file=io.StringIO(), record=True, width=80)
    console.print(display.render())
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.6, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_log_has_one_line_for_each_event(make: Make, clock: Clock) -> None:
    display, console = make()
    with display:
        display.report_start(3, 2)
        display.report_progress(sign("t_2"))
        display.report_progress(sign("t_4"))
        clock.now = 10.0
        display.report_progress(sign("t_2", epoch=5))
        display.report_progress(sign("t_2", TrialPhase.DONE, 10))
        display.report_progress(sign("t_4", TrialPhase.FAILED, 3, "The loss is [nan]. Lower\nthe rate."))
        clock.now = 30.0
        display.report_progress(sign("t_8", TrialPhase.STOPPED, 2))
    assert console.export_text().splitlines() == [
        "3 to run, 2 at once",
        "[1/3] done    t_2  width=2, seed=0  (about 20 s left)",
        "[2/3] failed  t_4  width=4, seed=0  (about 5.0 s left)",
        "    The loss is [nan]. Lower",
        "[3/3] stopped t_8  width=8, seed=0",
    ]
    assert "\x1b" not in console.file.getvalue()


def test_packed_trials_are_told(make: Make) -> None:
    display, console = make()
    display.report_start(24, 8, 4)
    assert console.export_text() == "24 to run, 8 at once, up to 4 on each GPU\n"


def test_no_width_breaks_a_line_of_a_log(make: Make) -> None:
    display, console = make()
    display.report_start(1, 1)
    display.report_progress(sign("t_" + "0" * 200, TrialPhase.FAILED, message="x" * 200))
    assert len(console.export_text().splitlines()) == 3


def test_a_screen_shows_what_runs_and_keeps_failures_alone(make: Make, clock: Clock) -> None:
    display, console = make(screen=True)
    with display:
        display.report_start(4, 2)
        display.report_progress(sign("t_2"))
        display.report_progress(sign("t_4", TrialPhase.MEASURING, 10))
        clock.now = 7.0
        display.report_progress(sign("t_2", epoch=4))
        display.report_progress(sign("t_8", TrialPhase.DONE, 10))
        display.report_progress(sign("t_6", TrialPhase.FAILED, 1, "Out of [memory]"))
    kept = [line for line in console.export_text().splitlines() if "t_6" in line or "t_8" in line or "Out" in line]
    assert kept == ["[2/4] failed  t_6  width=6, seed=0", "    Out of [memory]"]
    bar, first, second = drawn(display)
    assert bar.endswith("2/4 trials  1 failed  7.0 s so far, about 1.4 s left")
    assert (first, second) == ("t_2  width=2, seed=0  epoch 4/10", "t_4  width=4, seed=0  measuring")


def test_the_view_fits_a_narrow_screen(make: Make) -> None:
    display, _ = make(screen=True)
    display._total = 2
    display.report_progress(sign("t_" + "0" * 60))
    lines = drawn(display)
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


def test_the_time_left_begins_with_the_first_sign_of_life(make: Make, clock: Clock) -> None:
    display, _ = make()
    display.report_start(2, 1)
    clock.now = 100.0  # Ray starts, torch is imported
    assert display._format_time_left() == "time left unknown"
    display.report_progress(sign("t_2"))
    assert display._format_time_left() == "time left unknown"
    clock.now = 110.0
    display.report_progress(sign("t_2", TrialPhase.DONE))
    assert display._format_time_left() == "about 10 s left"
    display.report_progress(sign("t_4", TrialPhase.DONE))
    assert display._format_time_left() == "ending"


def test_the_time_left_is_weighted_by_what_trials_cost(make: Make, clock: Clock) -> None:
    display, _ = make(expected={"t_2": 10.0, "t_4": 90.0})
    display.report_start(2, 1)
    display.report_progress(sign("t_2"))
    clock.now = 10.0
    display.report_progress(sign("t_2", TrialPhase.DONE))
    assert display._format_time_left() == "about 1 min 30 s left"


def test_trials_of_unknown_cost_count_alike(make: Make, clock: Clock) -> None:
    display, _ = make(expected={"t_2": 10.0, "t_4": None})
    display.report_start(2, 1)
    display.report_progress(sign("t_2"))
    clock.now = 10.0
    display.report_progress(sign("t_2", TrialPhase.DONE))
    assert display._format_time_left() == "about 10 s left"


def test_stopping_prints_the_command_that_goes_on(make: Make) -> None:
    display, console = make()
    display.report_stopping()
    first, command = console.export_text().splitlines()
    assert first == "Stopping once trials have saved checkpoints; Ctrl-C again stops at once. To resume:"
    assert command == "    python -m equistudy run x.py"


@pytest.mark.parametrize(
    ("phase", "told"), [(TrialPhase.DIED, "its process died"), (TrialPhase.PREEMPTED, "its process was preempted")]
)
def test_a_trial_that_starts_again_is_told(phase: str, told: str) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    display = Display(console, "resume", {})
    display.report_start(2, 1)
    display.report_progress(TrialProgress("t_1", phase, 4, 10, "seed=0", "The actor died.\nTraceback"))
    display.report_notice("A node has joined: 10.0.0.2 with 8 CPUs")
    assert console.file.getvalue().splitlines()[1:] == [
        f"{phase}: t_1  seed=0  {told} after epoch 4; it starts again from its checkpoint",
        "    The actor died.",
        "A node has joined: 10.0.0.2 with 8 CPUs",
    ]


def test_a_lost_head_prints_the_command_that_resumes(make: Make) -> None:
    display, console = make()
    display.report_start(2, 1)
    display.report_lost("Ray's head process no longer answers.")
    assert console.export_text().splitlines()[-2:] == [
        "Ray's head process no longer answers. To resume:",
        "    python -m equistudy run x.py",
    ]
