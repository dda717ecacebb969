import pytest

from equistudy.training.failures import DivergedError, FailureReason, NotANumberError, classify_error, describe_error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotANumberError("nan"), FailureReason.NOT_A_NUMBER),
        (DivergedError("1e9"), FailureReason.DIVERGED),
        (MemoryError(), FailureReason.OUT_OF_MEMORY),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), FailureReason.OUT_OF_MEMORY),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            FailureReason.OUT_OF_MEMORY,
        ),
        (FileNotFoundError("gone"), FailureReason.DATA),
        (type("RayActorError", (RuntimeError,), {"__module__": "ray.exceptions"})("gone"), FailureReason.WORKER_DIED),
        (KeyError("x"), FailureReason.BUG),
        (RuntimeError("shape mismatch"), FailureReason.BUG),
    ],
)
def test_each_failure_has_its_reason(error: Exception, reason: FailureReason) -> None:
    assert classify_error(error) is reason


def test_an_error_is_told_with_its_type_where_its_words_are_not_enough() -> None:
    assert describe_error(KeyError("width")) == "KeyError: 'width'"
    assert describe_error(ValueError("The rule. The way out.")) == "The rule. The way out."
    assert describe_error(ValueError()) == "ValueError: "


class IndescribableError(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_error_whose_message_cannot_be_read_is_described_all_the_same() -> None:
    assert describe_error(IndescribableError()) == "(its message cannot be read)"
    assert classify_error(IndescribableError()) is FailureReason.BUG
    assert describe_error(OSError("no file \udcff")) == "no file \\udcff"
