"""Batch norm of regular features: torch's own over (B, |G|, H, W), and what it is not."""

import pytest
import torch
from torch import nn

from equistudy.networks.equivariant.norm import GroupBatchNorm

formats = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])


class Unfolded(nn.BatchNorm2d):
    """Not the ordinary type, so that a group norm hands its maps to it."""


def pair(order: int) -> tuple[GroupBatchNorm, nn.BatchNorm3d]:
    """The group norm and torch's norm of (B, C, |G|, H, W), with the same random parameters."""
    ours, theirs = GroupBatchNorm(3, order).double(), nn.BatchNorm3d(3).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_()
    ours.norm.load_state_dict(theirs.state_dict())
    return ours, theirs


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@formats
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_gpu)])
def test_a_step_is_that_of_batch_norm_over_the_group(memory_format: torch.memory_format, device: str):
    ours, theirs = (norm.to(device) for norm in pair(4))
    features = torch.randn(4, 12, 5, 6, dtype=torch.float64, device=device)
    mine, its = features.clone(memory_format=memory_format).requires_grad_(), features.clone().requires_grad_()
    upstream = torch.randn_like(features)
    ours(mine).backward(upstream.to(memory_format=memory_format))
    theirs(its.unflatten(1, (3, 4))).flatten(1, 2).backward(upstream)
    torch.testing.assert_close(mine.grad, its.grad, rtol=0, atol=1e-12)


@formats
@pytest.mark.parametrize("order", [1, 4, 8])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_is_batch_norm_over_the_group(memory_format: torch.memory_format, order: int, momentum: float | None):
    ours, theirs = pair(order)
    ours.norm.momentum = theirs.momentum = momentum
    for step in range(3):
        given = torch.randn(4, 3 * order, 5, 6, dtype=torch.float64) * (step + 1) + torch.randn(3 * order, 1, 1)
        mine = given.clone(memory_format=memory_format).requires_grad_()
        its = given.clone().requires_grad_()
        upstream = torch.randn(given.shape, dtype=torch.float64)
        found, expected = ours(mine), theirs(its.unflatten(1, (3, order))).flatten(1, 2)
        found.backward(upstream.to(memory_format=memory_format))
        expected.backward(upstream)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
        torch.testing.assert_close(mine.grad, its.grad, rtol=0, atol=1e-13)
        assert found.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(ours.norm.weight.grad, theirs.weight.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.norm.bias.grad, theirs.bias.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.norm.state_dict(), theirs.state_dict(), rtol=0, atol=1e-14)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(given), theirs(given.unflatten(1, (3, order))).flatten(1, 2), rtol=0, atol=1e-13)


def test_gradients_are_those_of_finite_differences():
    norm = GroupBatchNorm(2, 4).double()

    def normed(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(norm, {"norm.weight": weight, "norm.bias": bias}, (features,))

    arguments = (torch.randn(2, 8, 2, 3), torch.randn(2), torch.randn(2))
    inputs = tuple(value.double().requires_grad_() for value in arguments)
    assert torch.autograd.gradcheck(normed, inputs)
    assert torch.autograd.gradgradcheck(normed, inputs)


def test_gradients_of_gradients_are_those_of_batch_norm():
    """A penalty on the gradient of the input, as some regularisers take."""
    ours, theirs = pair(4)
    features = torch.randn(4, 12, 5, 6, dtype=torch.float64)
    found = []
    for norm in (ours, theirs):
        given = (features if norm is ours else features.unflatten(1, (3, 4))).clone().requires_grad_()
        (slope,) = torch.autograd.grad(norm(given).sin().sum(), given, create_graph=True)
        slope.square().sum().backward()
        parameters = ours.norm if norm is ours else norm
        found.append([given.grad.flatten(), parameters.weight.grad, parameters.bias.grad])
    torch.testing.assert_close(*found, rtol=0, atol=1e-11)


@pytest.mark.parametrize("training", [True, False])
def test_transforms_of_functions_give_the_same_gradients(training: bool):
    norm = pair(4)[0].train(training)
    features = torch.randn(4, 12, 5, 6, dtype=torch.float64)
    parameters = {name: value.detach().clone() for name, value in norm.named_parameters()}

    def compute_loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        buffers = {name: value.clone() for name, value in norm.named_buffers()}
        return torch.func.functional_call(norm, {**parameters, **buffers}, (features,)).sin().sum()

    found = torch.func.grad(compute_loss)(parameters)
    compute_loss(leaves := {name: value.requires_grad_() for name, value in parameters.items()}).backward()
    torch.testing.assert_close(found, {name: value.grad for name, value in leaves.items()}, rtol=0, atol=1e-11)


def test_a_single_value_has_no_variance():
    with pytest.raises(ValueError, match=r"at least 2 values for each field, got 1 from .* \(1, 3, 1, 1\)"):
        GroupBatchNorm(3, 1)(torch.ones(1, 3, 1, 1))
    norm = GroupBatchNorm(3, 4)
    norm(torch.randn(1, 12, 1, 1))
    assert all(bool(value.isfinite().all()) for value in norm.state_dict().values())


@pytest.mark.parametrize("training", [True, False])
def test_it_commutes_with_the_group_where_norms_of_channels_do_not(training: bool):
    features = torch.randn(4, 12, 5, 5, dtype=torch.float64) + torch.arange(12.0)[:, None, None]
    turned = torch.rot90(features, 1, dims=(2, 3)).unflatten(1, (3, 4)).roll(1, 2).flatten(1, 2)
    ours, _ = pair(4)
    channels = nn.BatchNorm2d(12).double()
    with torch.no_grad():
        channels.weight.normal_()
    for norm in (ours, channels):
        norm.train()(features)
        norm.train(training)
        output = norm(features).detach()
        expected = torch.rot90(output, 1, dims=(2, 3)).unflatten(1, (3, 4)).roll(1, 2).flatten(1, 2)
        deviation = (norm(turned).detach() - expected).norm() / output.norm()
        assert deviation < 1e-14 if norm is ours else deviation > 1e-2


@formats
def test_other_norms_are_given_one_map_a_field(memory_format: torch.memory_format):
    """What runs over several processes takes the place of `norm`."""
    ours, _ = pair(4)
    other, _ = pair(4)
    other.norm.__class__ = Unfolded
    other.load_state_dict(ours.state_dict())
    features = torch.randn(4, 12, 5, 6, dtype=torch.float64).to(memory_format=memory_format)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(features), other.train(mode)(features), rtol=0, atol=1e-13)
    torch.testing.assert_close(ours.state_dict(), other.state_dict(), rtol=0, atol=1e-14)


def test_bfloat16_features_keep_their_format():
    norm = GroupBatchNorm(3, 4)
    features = (torch.randn(4, 12, 5, 6) + 8).bfloat16().requires_grad_()
    output = norm(features)
    output.sum().backward()
    assert output.dtype is features.grad.dtype is torch.bfloat16
    assert norm.norm.weight.grad.dtype is torch.float32
    expected = GroupBatchNorm(3, 4)(features.detach().float())
    assert (output.float() - expected).abs().max() < 0.05


def test_plain_is_an_ordinary_norm_in_evaluation_mode():
    ours, _ = pair(4)
    ours(torch.randn(4, 12, 5, 6, dtype=torch.float64))
    plain = ours.eval().to_ordinary().eval()
    assert type(plain) is nn.BatchNorm2d
    features = torch.randn(4, 12, 5, 6, dtype=torch.float64)
    assert torch.equal(plain(features), ours(features))
