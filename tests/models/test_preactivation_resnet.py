"""The residual networks of the paper have its numbers of parameters; impossible ones are refused."""

import pytest
import torch

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.preactivation_resnet import PCamResNet, PreactivationResNet
from equistudy.networks.choices import Downsampling, Factorisation, Head, Initialisation
from equistudy.spec import format_label

P4, P4M = CyclicGroup(4), DihedralGroup(4)
FULL, GC = Factorisation.FULL, Factorisation.GC


def parameters(model: PreactivationResNet, num_outputs: int = 10) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in model.build((3, 33, 33), num_outputs).parameters())


@pytest.mark.parametrize(
    ("depth", "width", "group", "factorisation", "invariant", "oriented"),
    [
        (18, 64, None, FULL, 11_173_962, 11_173_962),
        (18, 32, P4, FULL, 11_165_738, 11_173_418),
        (18, 90, P4, GC, 11_087_740, 11_109_340),
        (18, 23, P4M, FULL, 11_533_889, 11_546_769),
        (18, 64, P4M, GC, 11_192_138, 11_227_978),
        (44, 32, None, FULL, 2_636_458, 2_636_458),
        (44, 16, P4, FULL, 2_632_026, 2_633_946),
        (44, 47, P4, GC, 2_652_267, 2_657_907),
        (44, 12, P4M, FULL, 2_959_366, 2_962_726),
        (44, 35, P4M, GC, 2_921_775, 2_931_575),
    ],
)
def test_parameters_of_the_paper(
    depth: int, width: int, group: FiniteGroup | None, factorisation: Factorisation, invariant: int, oriented: int
):
    model = PreactivationResNet(depth, width, group, factorisation)
    assert parameters(model) == invariant
    assert parameters(PreactivationResNet(depth, width, group, factorisation, head=Head.ORIENTED)) == oriented


@pytest.mark.parametrize(
    ("model", "num_outputs", "count"),
    [
        (PreactivationResNet(18, 64), 102, 11_221_158),
        (PreactivationResNet(18, 32, P4), 102, 11_189_382),
        (PreactivationResNet(18, 64), 1000, 11_681_832),
        (PreactivationResNet(18, 32, P4), 1000, 11_420_168),
        (PreactivationResNet(18, 32, P4, head=Head.ORIENTED), 1000, 12_188_168),
        (PreactivationResNet(44, 16, P4), 100, 2_632_026 + 90 * 65),
        (PCamResNet(width=8), 2, 129_538),
        (PCamResNet(group=P4), 2, 128_652),
    ],
    ids=lambda value: format_label(value) if isinstance(value, PreactivationResNet) else str(value),
)
def test_parameters_with_other_outputs(model: PreactivationResNet, num_outputs: int, count: int):
    assert parameters(model, num_outputs) == count


@pytest.mark.parametrize("downsampling", [Downsampling.STRIDE, Downsampling.EVEN, Downsampling.BLUR])
@pytest.mark.parametrize("group", [None, P4])
def test_stages(downsampling: Downsampling, group: FiniteGroup | None):
    """Each stage but the first halves the resolution and doubles the fields."""
    model = PreactivationResNet(10, 3, group, downsampling=downsampling)
    network = model.build((1, 32, 32), 5)
    shapes = {}
    for name, path in model.stages(network).items():
        network.get_submodule(path).register_forward_hook(
            lambda module, given, output, name=name: shapes.__setitem__(name, tuple(output.shape))
        )
    network(torch.rand(2, 1, 32, 32))
    order = 1 if group is None else group.order
    assert shapes == {
        "stem": (2, 3 * order, 32, 32),
        "stage1": (2, 3 * order, 32, 32),
        "stage2": (2, 6 * order, 16, 16),
        "stage3": (2, 12 * order, 8, 8),
        "stage4": (2, 24 * order, 4, 4),
        "pooled": (2, 24),
        "logits": (2, 5),
    }


def test_widths_and_blocks():
    assert PreactivationResNet(44, 16).widths == (16, 32, 64)
    assert PreactivationResNet(44, 16).num_blocks == (7, 7, 7)
    assert PreactivationResNet(18, 64).widths == (64, 128, 256, 512)
    assert PCamResNet(group=P4).widths == (4, 7, 14)
    assert PCamResNet(width=8).widths == (8, 14, 28)


@pytest.mark.parametrize("factorisation", Factorisation)
def test_initialisations_differ_in_scale(factorisation: Factorisation):
    """He's keeps the features of a deep trunk; GrouPy's lets full kernels grow and separable ones vanish."""
    scales = {}
    for initialisation in Initialisation:
        torch.manual_seed(0)
        model = PreactivationResNet(8, 8, P4M, factorisation, initialisation=initialisation)
        network = model.build((3, 17, 17), 5)
        with torch.no_grad():
            branch = network.stage1[0](network.stem(torch.randn(8, 3, 17, 17))) - network.stem(
                torch.zeros(8, 3, 17, 17)
            )
        scales[initialisation] = branch.var().item()
    assert scales[Initialisation.HE] > 1
    if factorisation is Factorisation.GC:
        assert scales[Initialisation.GROUPY] < 0.3 * scales[Initialisation.HE]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PreactivationResNet(21), "must be 6n [+] 2, 10, 18 or 34, got depth=21. Nearest: 20, 18."),
        (lambda: PreactivationResNet(2), "got depth=2. Nearest: 8, 10."),
        (lambda: PreactivationResNet(20, 0), "at least 1 field, got width=0. The paper uses 16"),
        (lambda: PreactivationResNet(20, 4, factorisation=GC), "Factorised kernels need a group"),
        (lambda: PCamResNet(width=6), "a multiple of 4, .* got width=6. The paper uses 4"),
        (lambda: PCamResNet(18), "three stages, got depth=18"),
        (lambda: PreactivationResNet(20).build((3, 7, 32), 2), "at least 8 x 8 pixels, got 7 x 32. Enlarge"),
    ],
)
def test_impossible_networks_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
