"""Costs in closed form against torch's own counts, and widths that match them.

Patches that tile the image, and those that do not.
"""

from dataclasses import dataclass

import pytest
import torch

from equistudy.models.convnext import ConvNeXt
from equistudy.models.mixer import ConvMixer, MLPMixer
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.models.sized import Budget, compute_cost, compute_patch_grid
from equistudy.models.timm_model import TimmModel
from equistudy.models.vit import Stem, ViT
from equistudy.networks.choices import Downsampling, Head, Padding, Positions, Shortcut
from equistudy.spec import format_label

MODELS = [
    ResNet(8, 3),
    ResNet(14, 2, Shortcut.PADDING, padding=Padding.REFLECT, downsampling=Downsampling.BLUR, head=Head.FLATTEN),
    ResNet(8, 2, padding=Padding.CIRCULAR, downsampling=Downsampling.POLYPHASE),
    ResNet(8, 2, downsampling=Downsampling.MAX),
    ConvMixer(2, 6, kernel=3),
    ConvNeXt(1, 4),
    MLPMixer(2, 8),
    ViT(2, 8),
    ViT(1, 8, positions=Positions.SINE, stem=Stem.CONVOLUTIONS),
    ViT(1, 8, positions=Positions.NONE, patch=2),
]


@dataclass(frozen=True)
class Opaque(Model):
    """The same network without the closed form, so that torch counts it."""

    inside: Model

    def build(self, image_shape, num_outputs):
        return self.inside.build(image_shape, num_outputs)


SIZES = [(1, 8, 8), (3, 16, 28), (2, 64, 40)]
everyone = pytest.mark.parametrize("model", MODELS, ids=format_label)


@everyone
@pytest.mark.parametrize("image_shape", SIZES, ids=str)
def test_forward_backward_stages_and_cost_at_every_size(model, image_shape):
    assert model.cost(image_shape, 5) == compute_cost(Opaque(model), image_shape, 5)
    network = model.build(image_shape, 5)
    outputs = {}
    for name, path in model.stages(network).items():
        network.get_submodule(path).register_forward_hook(
            lambda module, given, output, name=name: outputs.setdefault(name, output)
        )
    logits = network.train()(torch.rand(3, *image_shape))
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert list(outputs) == list(model.stages(network))
    assert outputs["logits"] is logits
    assert outputs["pooled"].ndim == 2


@pytest.mark.parametrize("budget", Budget)
@pytest.mark.parametrize(
    "model", [ConvMixer(), ConvNeXt(), MLPMixer(), ViT(), ResNet(14), ViT(positions=Positions.SINE)], ids=format_label
)
def test_no_other_width_comes_nearer(model, budget):
    target, shape = ResNet(8, 12), (1, 28, 28)
    wanted = target.cost(shape, 10).amount_of(budget)
    match = model.match_to(target, shape, 10, budget=budget, tolerance=0.5)
    found = match.model.cost(shape, 10).amount_of(budget)
    assert match.mismatch == pytest.approx(found / wanted - 1)
    for step in (-model.width_step, model.width_step):
        other = (
            type(model)(**{**vars(match.model), "width": match.model.width + step}).cost(shape, 10).amount_of(budget)
        )
        assert max(other / wanted, wanted / other) >= max(found / wanted, wanted / found)
    assert type(model)(**{**vars(match.model), "width": model.width}) == model


def test_a_model_matches_itself_exactly():
    assert ResNet(8, 1).match_to(ResNet(8, 17), (3, 32, 32), 10) == (ResNet(8, 17), 0.0)


def test_a_model_without_a_closed_form_is_built_and_counted():
    state = torch.get_rng_state()
    match = ResNet(8).match_to(TimmModel("test_resnet"), (3, 32, 32), 10)
    assert abs(match.mismatch) < 0.05
    assert torch.equal(torch.get_rng_state(), state)


def test_a_match_that_is_too_far_off():
    with pytest.raises(ValueError, match=r"within 10%, got \d+ of \d+ parameters for ViT\(.*nearest to ResNet.*depth"):
        ViT(depth=12).match_to(ResNet(8, 1), (1, 28, 28), 10)


@pytest.mark.parametrize("kind", [ConvMixer, ConvNeXt, MLPMixer, ViT])
def test_counts_below_one(kind):
    for name in ("depth", "width", "patch"):
        with pytest.raises(ValueError, match=rf"{kind.__name__} {name} must be at least 1, got {name}=0"):
            kind(**{name: 0})


def test_rows_and_columns():
    assert compute_patch_grid(ViT(), 4, (1, 28, 12)) == (7, 3)


@pytest.mark.parametrize("kind", [ConvMixer, ConvNeXt, MLPMixer, ViT])
def test_patches_that_do_not_tile(kind):
    message = rf"{kind.__name__} needs a patch size that divides .* got patch=4 .* 28 x 30 pixels\. Use one of 1, 2\."
    for verb in (kind(patch=4).build, kind(patch=4).cost):
        with pytest.raises(ValueError, match=message):
            verb((1, 28, 30), 10)
