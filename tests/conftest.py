"""What all tests share: one local Ray for those that need it, real data where it lies beside the checkout."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import _pytest.runner
import pytest
import torch

from tests.shape_checks import check_shapes_of_arrays_alone
from tests.steady_environment import use_steady_environment

if TYPE_CHECKING:
    from equistudy.execution.cluster import Capacity

check_shapes_of_arrays_alone()  # before anything of equistudy is imported
use_steady_environment()  # before any thread of Ray lives
torch.set_num_threads(1)
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's 15 its workers starve beside whatever else computes
# pytest keeps the name of the running test in the environment: it adds and removes a variable several times a test
# while threads of the session's Ray read others. C moves the table as it grows, and their `getenv` reads freed memory.
_pytest.runner._update_current_test_var = lambda item, when: None
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of the many processes below compiles every module again


@pytest.fixture(scope="session")
def ray_capacity() -> Iterator["Capacity"]:
    """Ray on two CPUs of this machine, started once."""
    from equistudy.execution.cluster import connect_to_ray

    with connect_to_ray(None, num_cpus=2) as capacity:
        yield capacity


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run in two processes: those that need Ray share one of them, and long ones come first, to end together."""
    skip_long = pytest.mark.skip(reason="minutes of processor time: EQUISTUDY_LONG_TESTS=1 runs it")
    for item in items:
        if item.get_closest_marker("long") and "EQUISTUDY_LONG_TESTS" not in os.environ:
            item.add_marker(skip_long)
        if "ray_capacity" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes objects by the million, and all of them stay: no garbage collection looks through them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _no_weights_folder() -> Iterator[None]:
    """The folder of pretrained weights that a command names is in the environment afterwards: here for one test."""
    os.environ.pop("EQUISTUDY_WEIGHTS", None)
    yield
    os.environ.pop("EQUISTUDY_WEIGHTS", None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]
