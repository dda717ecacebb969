import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.point_clouds import PointClouds


def test_the_number_is_the_mean_distance_of_two_points() -> None:
    clouds = PointClouds(points=4, train_size=30, test_size=10)
    points, numbers = clouds.load(Split.TRAIN)
    assert points.shape == (30, 4, 3)
    expected = [torch.pdist(cloud).mean() for cloud in points]
    torch.testing.assert_close(numbers[:, 0], torch.stack(expected))
    assert clouds.target_mean == pytest.approx(float(numbers.mean()), rel=1e-5)
    assert clouds.target_std == pytest.approx(float(numbers.std(correction=0)), rel=1e-4)
    assert torch.equal(PointClouds(4, 10, 10).load(Split.TRAIN).inputs, points[:10])
    assert not torch.equal(clouds.load(Split.TEST).inputs, points[:10])


def test_one_point_has_no_distance() -> None:
    with pytest.raises(ValueError, match=r"at least 2 points per set and 2 sets per split, got points=1"):
        PointClouds(points=1)
