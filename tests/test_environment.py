"""What the tests themselves must not do to the environment of a process in which Ray's threads live."""

import os

import pytest


@pytest.mark.parametrize("time", [1, 2])
def test_pytest_writes_no_variable_while_threads_of_ray_read(time: int) -> None:
    assert "PYTEST_CURRENT_TEST" not in os.environ


def test_a_test_that_hangs_ends_the_process(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("faulthandler_timeout")) <= 900
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
