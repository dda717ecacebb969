"""Work is repeated as often as its cost allows."""

import pytest

from equistudy.watch.pacing import Pacer


class Clocks:
    """Two clocks that a test sets."""

    wall = processor = 0.0


@pytest.mark.parametrize(("cost", "wait"), [(0.0, 2.0), (0.01, 2.0), (0.5, 50.0), (2.0, 200.0), (5.0, 300.0)])
def test_dear_work_is_rare(cost, wait):
    clocks = Clocks()
    pacer = Pacer(0.01, 2.0, 300.0, lambda: clocks.wall, lambda: clocks.processor)
    assert pacer.is_due
    with pacer.measure():
        clocks.processor += cost
        clocks.wall += 3 * cost
    end = clocks.wall
    clocks.wall = end + 0.99 * wait
    assert not pacer.is_due
    clocks.wall = end + 1.01 * wait
    assert pacer.is_due


def test_work_that_fails_costs_too():
    clocks = Clocks()
    pacer = Pacer(0.01, 2.0, 300.0, lambda: clocks.wall, lambda: clocks.processor)

    def fail():
        with pacer.measure():
            clocks.processor += 1.0
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    clocks.wall = 99.0
    assert not pacer.is_due


def test_the_share_is_kept_over_an_hour():
    clocks, spent = Clocks(), 0.0
    pacer = Pacer(0.008, 2.0, 300.0, lambda: clocks.wall, lambda: clocks.processor)
    for _ in range(36_000):
        clocks.wall += 0.1
        if pacer.is_due:
            with pacer.measure():
                clocks.processor += 0.3
                clocks.wall += 0.3
            spent += 0.3
    assert 0.006 < spent / clocks.wall <= 0.0081
