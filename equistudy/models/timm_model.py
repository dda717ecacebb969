"""A network from timm by its full name."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Model, Module

__all__ = ["TimmModel"]


@dataclass(frozen=True)
class TimmModel(Model):
    """The network that timm (PyTorch Image Models, Wightman 2019) calls `name`: architecture, dot, tag.

    The tag says which weights, such as `resnet50.a1_in1k`; without `pretrained` it may be left out. Pretrained weights
    are taken from the local cache of the Hugging Face hub and never downloaded. The classifier, the input channels and,
    where the architecture fixes it, the image size are adapted to the dataset, and images are normalised by the
    dataset's own mean and std. Stages before `pooled` bear timm's own names (`layer1`, `blocks.3`): they are what its
    `feature_info` lists, as maps (B, C, H, W) for convolutional networks and as timm leaves them for others.
    """

    name: str
    pretrained: bool = False

    def validate(self) -> None:
        """ValueError if timm has no such name, offering the nearest, or if its pretrained weights are not there."""
        from equistudy.models.timm_network import cached_weights, check_name

        check_name(self.name, needs_tag=self.pretrained)
        if self.pretrained:
            cached_weights(self.name)

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A fresh network, initialised from torch's current random state, or from the pretrained weights."""
        from equistudy.models.timm_network import build_network, cached_weights

        self.validate()
        weights = cached_weights(self.name) if self.pretrained else None
        return build_network(self.name, image_shape, num_outputs, weights)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The feature stages that timm names, the vector that enters the classifier, and the logits."""
        paths: dict[str, str] = network.stage_paths  # type: ignore[assignment]
        return paths
