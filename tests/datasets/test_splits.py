import pytest

from equistudy.datasets.splits import find_split_name, is_hidden


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("train-00000-of-00002",), "train"),
        (("Training",), "training"),
        (("cifar_TEST.0",), "test"),
        (("0000", "validation"), "validation"),
        (("val-0", "train"), "val"),
        (("trains", "contest", "valley", "part-0"), None),
        ((), None),
    ],
)
def test_a_split_is_a_word_of_its_own(parts: tuple[str, ...], name: str | None) -> None:
    assert find_split_name(parts) == name


def test_hidden_names() -> None:
    assert [is_hidden(name) for name in (".a", "._b.png", "__MACOSX", "_c", "d")] == [True, True, True, False, False]
