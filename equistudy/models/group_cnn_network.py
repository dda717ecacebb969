"""The layers of the chain of group convolutions."""

from jaxtyping import Float
from torch import Tensor, nn

from equistudy.models.equivariant.choices import Head
from equistudy.models.equivariant.convolution import Window
from equistudy.models.equivariant.layers import Layers
from equistudy.models.equivariant.pooling import head
from equistudy.models.group_cnn import GroupCNN

__all__ = ["GroupCNNNetwork"]

POOLED = 2  # the convolution that the max-pool follows


class GroupCNNNetwork(nn.Module):
    """Convolutions, a head and a linear classifier."""

    def __init__(self, layers: Layers, model: GroupCNN, channels: int, num_outputs: int) -> None:
        super().__init__()
        self.depth = model.depth
        for number in range(1, model.depth + 1):
            last = number == model.depth and not model.last_padded
            window = Window(4) if last else Window(3, padding=1)
            if number == 1:
                convolution = layers.lifting(channels, model.width, window, bias=True)
            else:
                convolution = layers.convolution(model.width, model.width, window, bias=True)
            parts = [convolution, layers.norm(model.width), nn.ReLU(inplace=True)]
            if number == POOLED:
                parts.append(nn.MaxPool2d(2))
            elif number < model.depth - 1 and model.dropout:
                parts.append(nn.Dropout(model.dropout))
            self.add_module(f"layer{number}", nn.Sequential(*parts))
        self.pooled = head(model.head, layers.order)
        channels_out = layers.order if model.head is Head.ORIENTED else 1
        self.classifier = layers.classifier(model.width * channels_out, num_outputs)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs for each image."""
        features = images
        for number in range(1, self.depth + 1):
            features = self.get_submodule(f"layer{number}")(features)
        return self.classifier(self.pooled(features))
