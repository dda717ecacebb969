import pytest

from equistudy.training.failures import DivergedError, NotANumberError, Reason, reason_of, told


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotANumberError("nan"), Reason.NOT_A_NUMBER),
        (DivergedError("1e9"), Reason.DIVERGED),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), Reason.OUT_OF_MEMORY),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            Reason.OUT_OF_MEMORY,
        ),
        (FileNotFoundError("gone"), Reason.DATA),
        (type("RayActorError", (RuntimeError,), {"__module__": "ray.exceptions"})("gone"), Reason.WORKER_DIED),
        (KeyError("x"), Reason.BUG),
        (RuntimeError("shape mismatch"), Reason.BUG),
    ],
)
def test_each_failure_has_its_reason(error: Exception, reason: Reason) -> None:
    assert reason_of(error) is reason


def test_an_error_is_told_with_its_type_where_its_words_are_not_enough() -> None:
    assert told(KeyError("width")) == "KeyError: 'width'"
    assert told(ValueError("The rule. The way out.")) == "The rule. The way out."
    assert told(ValueError()) == "ValueError: "
