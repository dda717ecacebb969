"""Tables of kernels: those of the literature, and a loop of rot90 and flip."""

from dataclasses import dataclass

import pytest
import torch

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.networks.equivariant.kernels import (
    build_gather_table,
    build_quotient_table,
    expand_kernels,
    find_symmetries,
)

GROUPS = [CyclicGroup(2), CyclicGroup(4), DihedralGroup(1), DihedralGroup(2), DihedralGroup(4)]
GROUPS += [Reflection(), Reflection(flip=Flip.VERTICAL)]

# Row g of h -> g^-1 h for g = 4 m + r, first r quarter turns, then m mirror images of the rows, as GrouPy counts.
GROUPY_TABLE = ("01234567", "30125674", "23016745", "12307456", "45670123", "56743012", "67452301", "74561230")
OURS = [0, 1, 2, 3, 6, 5, 4, 7]  # a mirror image of the rows after r turns is 2 - r turns of one of the columns


def test_quotients_of_p4_are_differences_of_turns():
    expected = [[(s - r) % 4 for s in range(4)] for r in range(4)]
    assert build_quotient_table(CyclicGroup(4)).tolist() == expected


def test_quotients_of_p4m_are_those_of_groupy():
    found = build_quotient_table(DihedralGroup(4))
    expected = torch.tensor([[int(digit) for digit in row] for row in GROUPY_TABLE])
    ours = torch.tensor(OURS)
    assert torch.equal(found[ours][:, ours], ours[expected])


def test_elements_of_groupy_turn_first_and_mirror_then():
    kernel = torch.arange(9.0).view(3, 3)
    for number, ours in enumerate(OURS):
        turned = torch.rot90(kernel, number % 4)
        theirs = turned.flip(0) if number >= 4 else turned
        turns, mirrored = find_symmetries(DihedralGroup(4))[ours]
        assert torch.equal(theirs, torch.rot90(kernel.flip(1) if mirrored else kernel, turns))


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_quotients_are_products_of_the_moves(group: FiniteGroup):
    """h (h^-1 s) = s, on something that has no symmetry."""
    kernel = torch.rand(4, 4)
    moves = [torch.rot90(kernel.flip(1) if mirrored else kernel, turns) for turns, mirrored in find_symmetries(group)]
    for h, (turns, mirrored) in enumerate(find_symmetries(group)):
        for s, quotient in enumerate(build_quotient_table(group)[h]):
            first = moves[quotient]
            assert torch.equal(torch.rot90(first.flip(1) if mirrored else first, turns), moves[s])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_p4_expansion_is_a_loop_of_rot90(size: int):
    weight = torch.randn(2, 3 * 4, size, size)
    found = expand_kernels(weight, build_gather_table(CyclicGroup(4), size, regular=True)).view(2, 4, 3, 4, size, size)
    for o, r, i, s in torch.cartesian_prod(*map(torch.arange, (2, 4, 3, 4))).tolist():
        expected = torch.rot90(weight.view(2, 3, 4, size, size)[o, i, (s - r) % 4], r)
        assert torch.equal(found[o, r, i, s], expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [2, 3])
def test_p4m_expansion_is_a_loop_of_rot90_and_flip(size: int, memory_format: torch.memory_format):
    """By the products of GrouPy's elements, s' = h^-1 s: m'' = m xor m', r'' = r' - r or r' + r."""
    weight = torch.randn(2, 3 * 8, size, size).to(memory_format=memory_format)
    ours = torch.tensor(OURS)
    kernels = expand_kernels(weight, build_gather_table(DihedralGroup(4), size, regular=True))
    assert kernels.is_contiguous(memory_format=memory_format)
    found = kernels.reshape(2, 8, 3, 8, size, size)
    found, stored = found[:, ours][:, :, :, ours], weight.reshape(2, 3, 8, size, size)[:, :, ours]
    for h, s in torch.cartesian_prod(torch.arange(8), torch.arange(8)).tolist():
        (m, r), (n, t) = divmod(h, 4), divmod(s, 4)
        source = 4 * (m ^ n) + ((t - r) if m == n else (t + r)) % 4
        expected = torch.rot90(stored[:, :, source], r, dims=(-2, -1))
        assert torch.equal(found[:, h, :, s], expected.flip(-2) if m else expected)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_lifted_kernels_are_moved_copies(group: FiniteGroup):
    weight = torch.randn(2, 3, 4, 4)
    found = expand_kernels(weight, build_gather_table(group, 4, regular=False)).unflatten(0, (2, group.order))
    for h, (turns, mirrored) in enumerate(find_symmetries(group)):
        moved = torch.rot90(weight.flip(-1) if mirrored else weight, turns, dims=(-2, -1))
        assert torch.equal(found[:, h], moved)


def test_gradients_return_by_the_inverse_permutation():
    """The expansion copies every entry |G| times: its transpose sums them."""
    table = build_gather_table(DihedralGroup(4), 3, regular=True)
    weight = torch.randn(2, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda stored: expand_kernels(stored, table), weight)
    expand_kernels(weight, table).sum().backward()
    assert torch.equal(weight.grad, torch.full_like(weight, 8.0))


@dataclass(frozen=True)
class Eighth(FiniteGroup):
    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        return tuple((45.0 * turn, 0.0) for turn in range(8))


def test_turns_must_move_pixels_to_pixels():
    with pytest.raises(ValueError, match=r"multiples of 90 degrees, got .*Eighth with 0, 45, 90.*Use CyclicGroup"):
        find_symmetries(Eighth())
