import pytest
import torch
import torch.distributed as dist
from torch import nn

from equistudy.training.batch_norm import GlobalBatchNorm2d, convert_to_global_batch_norm

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
    ours = convert_to_global_batch_norm(nn.Sequential(nn.BatchNorm2d(3, momentum=momentum).double()), CPU)
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
    with pytest.raises(ValueError, match=r"supports only affine nn.BatchNorm2d, got BatchNorm1d at '0'"):
        convert_to_global_batch_norm(nn.Sequential(nn.BatchNorm1d(3)), CPU)
