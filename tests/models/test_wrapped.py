"""What a wrapper leaves alone is the other model's."""

from dataclasses import dataclass

from equistudy.datasets.digits import Digits
from equistudy.models.custom import Custom
from equistudy.models.resnet import ResNet
from equistudy.models.wrapped import WrappedModel


@dataclass(frozen=True)
class Plain(WrappedModel):
    """Changes nothing."""


def test_all_is_the_inner_model_s() -> None:
    inner, digits = ResNet(8, 2), Digits()
    network = Plain(inner).build((1, 28, 28), 10)
    assert Plain(inner).stages(network) == inner.stages(network)
    assert Plain(inner).preprocessing(digits) == inner.preprocessing(digits)
    assert (Plain(inner).has_own_preprocessing, Plain(inner).fingerprint(), Plain(inner).obstacle()) == (
        False,
        None,
        None,
    )
    gone = Custom("small", "gone.py")
    assert (Plain(gone).obstacle(), Plain(gone).fingerprint()) == ("no file", "no file")
    assert Plain(gone).with_absolute_paths() == Plain(gone.with_absolute_paths())
    assert Plain(inner).untrained == Plain(inner)
