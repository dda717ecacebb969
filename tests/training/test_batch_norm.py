import pytest
import torch
import torch.distributed as dist
from torch import nn

from equistudy.training.batch_norm import (
    GlobalBatchNorm2d,
    NarrowBatchNorm2d,
    with_fast_batch_norm,
    with_global_batch_norm,
)

CPU = torch.device("cpu")


@pytest.fixture
def alone(tmp_path: object) -> object:
    """A process group of one worker: the global batch is the local one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("momentum", [0.1, None])
def test_one_worker_gives_torchs_batch_norm_with_gradients(momentum: float | None) -> None:
    rng = torch.Generator().manual_seed(0)
    images = (torch.randn(6, 3, 5, 4, generator=rng, dtype=torch.float64) * 3 + 100).requires_grad_()
    reference = nn.BatchNorm2d(3, momentum=momentum).double()
    ours = with_global_batch_norm(nn.Sequential(nn.BatchNorm2d(3, momentum=momentum).double()), CPU)
    assert isinstance(ours[0], GlobalBatchNorm2d)
    probe = torch.randn(6, 3, 5, 4, generator=rng, dtype=torch.float64)
    expected, got = reference(images), ours(images)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    (wanted,) = torch.autograd.grad((expected * probe).sum(), images)
    (given,) = torch.autograd.grad((got * probe).sum(), images)
    torch.testing.assert_close(given, wanted, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours[0].running_mean, reference.running_mean)
    torch.testing.assert_close(ours[0].running_var, reference.running_var)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


def test_other_batch_norms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need plain, affine nn.BatchNorm2d, got BatchNorm1d at '0'"):
        with_global_batch_norm(nn.Sequential(nn.BatchNorm1d(3)), CPU)


def _pair(channels: int, **options: object) -> tuple[nn.Sequential, nn.Sequential]:
    """torch's batch norm and ours with the same random weights."""
    reference = nn.Sequential(nn.BatchNorm2d(channels, **options))
    for parameter in reference.parameters():
        nn.init.normal_(parameter, mean=1.0, std=0.3, generator=torch.Generator().manual_seed(1))
    ours = nn.Sequential(nn.BatchNorm2d(channels, **options))
    ours.load_state_dict(reference.state_dict())
    return reference, with_fast_batch_norm(ours, CPU)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_narrow_layers_give_torchs_batch_norm_with_gradients(channels: int, layout: torch.memory_format) -> None:
    reference, ours = (network.double() for network in _pair(channels))
    rng = torch.Generator().manual_seed(0)
    shape = (12, channels, 28, 30)
    images = (torch.randn(shape, generator=rng, dtype=torch.float64) * 3 + 100).to(memory_format=layout)
    probe = torch.randn(shape, generator=rng, dtype=torch.float64)
    images.requires_grad_()
    expected, got = reference(images), ours(images)
    assert isinstance(ours[0], NarrowBatchNorm2d)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    inputs = zip((images, *ours.parameters()), (images, *reference.parameters()), strict=True)
    mine, its = zip(*inputs, strict=True)
    given = torch.autograd.grad((got * probe).sum(), mine)
    wanted = torch.autograd.grad((expected * probe).sum(), its)
    torch.testing.assert_close(given, wanted, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(ours.state_dict(), reference.state_dict(), rtol=1e-9, atol=0)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


def test_the_gradient_is_the_derivative() -> None:
    _, ours = _pair(2)
    ours[0].double().momentum = 0.0
    ours[0].track_running_stats = False
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(2, 2, 64, 64, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, images, fast_mode=True)


def test_narrow_layers_sum_bfloat16_in_float32() -> None:
    reference, ours = _pair(4)
    images = torch.randn(16, 4, 24, 24, generator=torch.Generator().manual_seed(0)) + 10
    images = images.to(torch.bfloat16).to(memory_format=torch.channels_last)
    got = ours(images)
    assert got.dtype is torch.bfloat16
    torch.testing.assert_close(got.float(), reference(images.float()), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(ours[0].running_mean, reference[0].running_mean, rtol=1e-5, atol=0)


def test_a_relu_in_place_behind_a_narrow_layer_keeps_the_gradient() -> None:
    _, ours = _pair(2)
    images = torch.randn(12, 2, 28, 28, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (inside,) = torch.autograd.grad(ours(images).relu_().square().sum(), images)
    (outside,) = torch.autograd.grad(ours(images).relu().square().sum(), images)
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)


def test_wide_layers_and_small_batches_are_left_to_torch() -> None:
    wide = nn.Sequential(nn.BatchNorm2d(8))
    assert type(with_fast_batch_norm(wide, CPU)[0]) is nn.BatchNorm2d
    assert type(with_fast_batch_norm(nn.Sequential(nn.BatchNorm2d(2)), torch.device("cuda"))[0]) is nn.BatchNorm2d
    reference, ours = _pair(2)
    images = torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(images), reference(images))


def test_a_second_derivative_is_refused_and_never_wrong() -> None:
    _, ours = _pair(2)
    images = torch.randn(12, 2, 28, 28, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(ours(images).pow(3).sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
