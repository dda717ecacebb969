"""The cache of expanded kernels is never stale."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup
from equistudy.networks.equivariant.cache import TensorCache
from equistudy.networks.equivariant.convolution import ConvolutionWindow, LiftingConvolution


@pytest.fixture
def layer() -> LiftingConvolution:
    """In evaluation mode, with kept kernels."""
    layer = LiftingConvolution(CyclicGroup(4), 1, 2, ConvolutionWindow(3)).eval()
    with torch.no_grad():
        layer.build_kernels()
    return layer


def fresh(layer: LiftingConvolution) -> torch.Tensor:
    """The kernels as if there were no cache."""
    return torch.stack([torch.rot90(layer.weight, turn, dims=(2, 3)) for turn in range(4)], 1).flatten(0, 1).detach()


@torch.no_grad()
def test_kernels_are_kept(layer: LiftingConvolution):
    first = layer.build_kernels()
    assert layer.build_kernels() is first
    with torch.inference_mode():
        assert layer.build_kernels() is first
    assert torch.equal(first, fresh(layer))


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam, torch.optim.Adagrad])
@pytest.mark.parametrize("way", ["foreach", "fused", "differentiable"])
def test_an_optimiser_step_is_seen(layer: LiftingConvolution, optimiser: type[torch.optim.Optimizer], way: str):
    steps = optimiser(layer.parameters(), lr=0.1, **{way: way != "differentiable"})
    before = layer.build_kernels().detach().clone()
    layer(torch.rand(1, 1, 5, 5)).square().sum().backward()
    steps.step()
    with torch.no_grad():
        assert not torch.equal(layer.build_kernels(), before)
        assert torch.equal(layer.build_kernels(), fresh(layer))


@torch.no_grad()
@pytest.mark.parametrize("assign", [False, True])
def test_loaded_weights_are_seen(layer: LiftingConvolution, assign: bool):
    other = LiftingConvolution(CyclicGroup(4), 1, 2, ConvolutionWindow(3))
    layer.load_state_dict(other.state_dict(), assign=assign)
    assert torch.equal(layer.build_kernels(), fresh(other))


@torch.no_grad()
def test_changes_under_inference_mode_are_seen(layer: LiftingConvolution):
    with torch.inference_mode():
        layer.weight.mul_(2)
        assert torch.equal(layer.build_kernels(), fresh(layer))


@torch.no_grad()
def test_other_number_formats_are_seen(layer: LiftingConvolution):
    for dtype in (torch.float64, torch.bfloat16, torch.float32) * 3:  # bfloat16 rounds, and addresses come again
        layer.to(dtype)
        assert layer.build_kernels().dtype is dtype
        assert torch.equal(layer.build_kernels(), fresh(layer))
    layer.to(memory_format=torch.channels_last)
    assert torch.equal(layer.build_kernels(), fresh(layer))


@torch.no_grad()
def test_a_replaced_parameter_is_seen(layer: LiftingConvolution):
    layer.weight = nn.Parameter(torch.rand_like(layer.weight))
    assert torch.equal(layer.build_kernels(), fresh(layer))


def share_with_numpy(weight: nn.Parameter) -> None:
    weight.detach().numpy()[:] *= 2


CHANGES: dict[str, Callable[[nn.Parameter], object]] = {
    "data in place": lambda weight: weight.data.mul_(2),
    "other data": lambda weight: setattr(weight, "data", weight.data * 2),
    "detached": lambda weight: weight.detach().add_(1),
    "memory shared with numpy": share_with_numpy,
    "a vector of parameters": lambda weight: nn.utils.vector_to_parameters(torch.rand(weight.numel()), [weight]),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CHANGES)
def test_changes_that_raise_no_version_are_seen(layer: LiftingConvolution, name: str):
    before = layer.build_kernels().clone()
    CHANGES[name](layer.weight)
    assert not torch.equal(layer.build_kernels(), before)
    assert torch.equal(layer.build_kernels(), fresh(layer))


@torch.no_grad()
def test_copies_have_their_own(layer: LiftingConvolution):
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.weight.mul_(2)
        assert torch.equal(other.build_kernels(), fresh(other))
    assert torch.equal(layer.build_kernels(), fresh(layer))


def test_copies_and_files_carry_no_kernels(layer: LiftingConvolution):
    buffer, lean = io.BytesIO(), io.BytesIO()
    torch.save(layer, buffer)
    torch.save(LiftingConvolution(CyclicGroup(4), 1, 2, ConvolutionWindow(3)).eval(), lean)
    assert abs(len(buffer.getvalue()) - len(lean.getvalue())) < 64
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_gradients_pass_in_evaluation_mode(layer: LiftingConvolution):
    layer(torch.rand(1, 1, 3, 3)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_kernels_kept_under_inference_mode_serve_gradients_of_images():
    layer = LiftingConvolution(CyclicGroup(4), 1, 2, ConvolutionWindow(3)).eval().requires_grad_(False)
    with torch.inference_mode():
        layer(torch.rand(1, 1, 3, 3))
    images = torch.rand(1, 1, 3, 3, requires_grad=True)
    layer(images).sum().backward()
    assert torch.allclose(images.grad[0, 0], layer.build_kernels().sum(dim=(0, 1)))


def test_what_is_computed_from_inference_tensors_is_not_kept():
    with torch.inference_mode():
        parameter = nn.Parameter(torch.ones(1), requires_grad=False)
    cache = TensorCache()
    values = iter([torch.zeros(1), torch.ones(1)])
    with torch.no_grad():
        assert [cache.get_or_compute([parameter], lambda: next(values)).item() for _ in range(2)] == [0.0, 1.0]
