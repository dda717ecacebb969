import pytest

from equistudy.running.circuit_breaker import CircuitBreaker
from equistudy.running.job import UNWRITTEN_REASON, TrialPhase, TrialProgress


def failure(number: int, message: str = "RuntimeError: no such layer: 3", reason: str = "bug") -> TrialProgress:
    return TrialProgress(f"t_{number}", TrialPhase.FAILED, 0, 2, f"seed={number}", message, reason)


def seen(*progress: TrialProgress) -> str | None:
    breaker = CircuitBreaker(3)
    for each in progress:
        breaker.record(each)
    return breaker.broken


def test_the_same_mistake_at_the_start_stops_the_run() -> None:
    assert seen(failure(1), failure(2)) is None
    broken = seen(
        failure(1),
        TrialProgress("t_2", TrialPhase.TRAINING, 0, 2, ""),
        failure(2, "RuntimeError: no such layer: 4"),
        failure(3),
    )
    assert broken == (
        "The first 3 trials failed in the same way, so no other was started: RuntimeError: no such layer: 3. "
        "Fix the cause, or use --keep-going."
    )


@pytest.mark.parametrize(
    "other",
    [
        TrialProgress("t_9", TrialPhase.DONE, 2, 2, ""),
        failure(9, "KeyError: another"),
        failure(9, "The training loss is nan", "not a number"),
    ],
)
def test_one_other_end_shows_that_it_is_not_the_study(other: TrialProgress) -> None:
    assert seen(failure(1), failure(2), other, failure(3), failure(4), failure(5)) is None


def test_a_run_that_keeps_going_is_never_stopped() -> None:
    breaker = CircuitBreaker(0)
    for number in range(9):
        breaker.record(failure(number))
    assert breaker.broken is None


def unstarted(number: int) -> TrialProgress:
    why = "StartError: a process for trials cannot begin on 10.0.0.7: ImportError: libbroken.so"
    return TrialProgress(f"t_{number}", TrialPhase.DIED, 0, 2, f"seed={number}", why, "worker died")


def test_a_run_whose_processes_cannot_begin_is_stopped() -> None:
    death = TrialProgress("t_4", TrialPhase.DIED, 0, 2, "")
    assert seen(unstarted(1), death, unstarted(2), death) is None
    assert seen(unstarted(1), unstarted(2), unstarted(1)) == (
        "No trial could begin: StartError: a process for trials cannot begin on 10.0.0.7: ImportError: libbroken.so. "
        "Fix it where the trials run, then run the same command again."
    )


def test_one_node_without_the_environment_does_not_stop_the_others() -> None:
    training = TrialProgress("t_2", TrialPhase.TRAINING, 0, 2, "")
    assert seen(unstarted(1), training, unstarted(1), unstarted(3), unstarted(3)) is None


def test_results_that_cannot_be_written_stop_a_run_at_once_also_after_successes() -> None:
    unwritten = failure(2, "Cannot write weights: No space left on device. Free some space.\nMore.", UNWRITTEN_REASON)
    done = TrialProgress("t_1", TrialPhase.DONE, 2, 2, "")
    assert seen(done, unwritten) == (
        "The run stops because its results cannot be written: Cannot write weights: No space left on device. "
        "Free some space."
    )
    keep_going = CircuitBreaker(0)
    keep_going.record(unwritten)
    assert keep_going.broken is None
