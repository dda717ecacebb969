"""The residual network: counts in closed form, shapes, initialisation."""

import pytest
import torch

from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Downsampling, Head, Padding, Shortcut


def closed_form(depth: int, width: int, shortcut: Shortcut, channels: int, classes: int) -> int:
    blocks, w = (depth - 2) // 6, width
    stem = 9 * channels * w + 2 * w
    plain = sum(blocks * 2 * (9 * c * c + 2 * c) for c in (w, 2 * w, 4 * w))
    narrower = 9 * (2 * w * w + 8 * w * w) - 9 * (4 * w * w + 16 * w * w)
    projections = (2 * w * w + 2 * 2 * w) + (8 * w * w + 2 * 4 * w) if shortcut is Shortcut.PROJECTION else 0
    return stem + plain + narrower + projections + 4 * w * classes + classes


@pytest.mark.parametrize("shortcut", Shortcut)
@pytest.mark.parametrize(("depth", "width"), [(8, 1), (14, 4), (20, 16), (32, 5)])
def test_parameter_count(depth, width, shortcut):
    network = ResNet(depth, width, shortcut).build((3, 32, 32), 10)
    assert sum(p.numel() for p in network.parameters()) == closed_form(depth, width, shortcut, 3, 10)


def test_parameter_count_of_the_paper():
    counts = {
        depth: sum(p.numel() for p in ResNet(depth, 16, Shortcut.PADDING).build((3, 32, 32), 10).parameters())
        for depth in (20, 32, 44, 56)
    }
    # Table 6 of He et al. 2016, in millions
    assert {depth: round(count / 1e6, 2) for depth, count in counts.items()} == {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}


def test_number_of_weight_layers():
    network = ResNet(26, 4, Shortcut.PADDING).build((1, 28, 28), 10)
    layers = [module for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == 26


def test_initialisation_is_he_normal():
    network = ResNet(20, 16).build((3, 32, 32), 10)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 5000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


def test_same_random_state_gives_the_same_network():
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(ResNet(8, 4).build((1, 16, 16), 3).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


@pytest.mark.parametrize("shortcut", Shortcut)
def test_resolutions(shortcut):
    network = ResNet(8, 4, shortcut).build((2, 9, 14), 3)
    features = network.stem(torch.rand(5, 2, 9, 14))
    assert features.shape == (5, 4, 9, 14)
    assert (stage2 := network.stage2(network.stage1(features))).shape == (5, 8, 5, 7)
    assert network.stage3(stage2).shape == (5, 16, 3, 4)


def test_padded_shortcut_takes_every_second_pixel_and_adds_zeros():
    network = ResNet(8, 4, Shortcut.PADDING).build((1, 8, 8), 2)
    features = torch.rand(1, 4, 8, 8)
    shortcut = network.stage2[0].shortcut(features)
    assert torch.equal(shortcut[:, :4], features[:, :, ::2, ::2])
    assert torch.equal(shortcut[:, 4:], torch.zeros(1, 4, 4, 4))


SHIFTS = [(0, 1), (3, 2), (-5, 16)]


def shifted_logits(model, shift, trained_statistics=False):
    """Logits of random images, and of their circular shifts, in float64."""
    network = model.build((2, 32, 24), 6).double()
    images = torch.randn(20, 2, 32, 24, dtype=torch.float64)
    if trained_statistics:
        network.train()(images)
    network.eval()
    return network(images), network(images.roll(shift, dims=(2, 3)))


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("shortcut", Shortcut)
def test_polyphase_downsampling_makes_every_circular_shift_exact(shift, shortcut):
    model = ResNet(14, 3, shortcut, padding=Padding.CIRCULAR, downsampling=Downsampling.POLYPHASE)
    for trained in (False, True):
        still, moved = shifted_logits(model, shift, trained)
        torch.testing.assert_close(moved, still, atol=1e-10, rtol=1e-10)
        assert torch.equal(moved.argmax(1), still.argmax(1))


@pytest.mark.parametrize("downsampling", [Downsampling.STRIDE, Downsampling.MAX, Downsampling.BLUR])
def test_other_downsampling_is_exact_at_its_stride_alone(downsampling):
    model = ResNet(8, 3, padding=Padding.CIRCULAR, downsampling=downsampling)
    still, moved = shifted_logits(model, (4, -8))
    torch.testing.assert_close(moved, still, atol=1e-10, rtol=1e-10)
    still, moved = shifted_logits(model, (1, 0))
    assert (moved - still).abs().max() > 1e-3


@pytest.mark.parametrize("changed", [{"padding": Padding.ZERO}, {"padding": Padding.REFLECT}, {"head": Head.FLATTEN}])
def test_borders_and_a_flat_head_break_polyphase_downsampling(changed):
    fields = {"padding": Padding.CIRCULAR, "downsampling": Downsampling.POLYPHASE, **changed}
    still, moved = shifted_logits(ResNet(8, 3, **fields), (3, 2))
    assert (moved - still).abs().max() > 1e-3


def test_circular_stages_move_with_the_image():
    network = ResNet(8, 3, padding=Padding.CIRCULAR).build((1, 16, 16), 5).eval().double()
    images = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    early = torch.nn.Sequential(network.stem, network.stage1)
    for shift in SHIFTS:
        torch.testing.assert_close(early(images.roll(shift, (2, 3))), early(images).roll(shift, (2, 3)))


def test_blur_pool_is_the_binomial_filter():
    network = ResNet(8, 2, padding=Padding.CIRCULAR, downsampling=Downsampling.BLUR).build((1, 8, 8), 5)
    maps = torch.rand(3, 2, 8, 8)
    rows = (maps.roll(1, 2) + 2 * maps + maps.roll(-1, 2))[:, :, ::2] / 4
    expected = (rows.roll(1, 3) + 2 * rows + rows.roll(-1, 3))[..., ::2] / 4
    for branch in network.stage2[0].halving(maps, maps):
        torch.testing.assert_close(branch, expected)


def test_polyphase_takes_the_strongest_cells_of_each_image_in_both_branches():
    halving = ResNet(8, 2, downsampling=Downsampling.POLYPHASE).build((1, 8, 8), 5).stage2[0].halving
    hidden, features = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)
    hidden[0, :, 1::2, ::2] += 3
    hidden[1, :, ::2, 1::2] -= 9
    strong, follows = halving(hidden, features)
    assert torch.equal(strong[0], hidden[0, :, 1::2, ::2])
    assert torch.equal(strong[1], hidden[1, :, ::2, 1::2])
    assert torch.equal(follows[0], features[0, :, 1::2, ::2])
    assert torch.equal(follows[1], features[1, :, ::2, 1::2])


def test_all_ways_to_halve_have_the_same_weights():
    states = []
    for downsampling in (Downsampling.STRIDE, Downsampling.MAX, Downsampling.BLUR, Downsampling.POLYPHASE):
        torch.manual_seed(4)
        states.append(ResNet(8, 4, downsampling=downsampling).build((1, 16, 16), 3).state_dict())
    for state in states[1:]:
        assert all(torch.equal(state[name], states[0][name]) for name in states[0])
