import numpy as np

from equistudy.datasets.draws import draw_normals, draw_uniforms


def test_smaller_draws_begin_larger_ones() -> None:
    for draw in (draw_uniforms, draw_normals):
        assert np.array_equal(draw(3, 10, 2), draw(3, 20, 2)[:10])
        assert not np.array_equal(draw(3, 10, 2), draw(4, 10, 2))


def test_the_numbers_are_distributed_as_they_say() -> None:
    uniform, normal = draw_uniforms(0, 50_000), draw_normals(0, 50_000)
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(uniform.std() - 12**-0.5) < 0.01
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs((normal**4).mean() - 3) < 0.15


def test_the_first_numbers_never_change() -> None:
    assert draw_uniforms(1, 2).tolist() == [0.5118216247002567, 0.9504636963259353]
