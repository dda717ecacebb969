"""Networks from timm adapted to the dataset, and where their stages lie."""

import pytest
import torch

from equistudy.models.timm_model import TimmModel
from equistudy.networks.import_timm import import_timm
from equistudy.networks.timm_network import get_licence

NAME = "test_resnet.r160_in1k"


def test_equals_timm_from_the_same_random_state():
    torch.manual_seed(5)
    ours = TimmModel(NAME).build((3, 40, 40), 4).state_dict()
    torch.manual_seed(5)
    theirs = import_timm().create_model(NAME, num_classes=4).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_image_size_is_adapted_where_it_is_fixed():
    network = TimmModel("test_vit").build((1, 48, 64), 4)
    assert network.patch_embed.grid_size == (3, 4)


def test_images_that_the_architecture_refuses():
    with pytest.raises(
        ValueError, match=r"must accept the dataset's images, got name='test_vit'.*\(1, 17, 17\), with: "
    ):
        TimmModel("test_vit").build((1, 17, 17), 4)


def test_stages_are_those_that_timm_lists():
    model = TimmModel(NAME)
    stages = model.stages(model.build((3, 32, 32), 4))
    assert list(stages) == ["act1", "layer1", "layer2", "layer3", "layer4", "pooled", "logits"]
    assert (stages["pooled"], stages["logits"]) == ("global_pool", "")


@pytest.mark.parametrize(
    ("name", "side", "maps"),
    [
        (
            "dla46x_c",
            64,
            ["level0", "level1", "level2", "level3", "level4", "level5", "pooled"],
        ),  # its classifier convolves
        ("levit_128s", 224, ["stages.0", "stages.1", "stages.2"]),  # no module gives what enters its classifier
        ("mvitv2_tiny", 64, ["stages.0[0]", "stages.1[0]", "stages.2[0]", "stages.3[0]", "pooled"]),  # tuples
        (
            "twins_pcpvt_small",
            64,
            ["blocks.0.2", "blocks.1.3", "blocks.2.5", "blocks.3.2", "pooled"],
        ),  # lists of blocks
    ],
)
def test_stages_of_odd_architectures(name: str, side: int, maps: list[str]) -> None:
    model = TimmModel(name)
    assert list(model.stages(model.build((3, side, side), 2))) == [*maps, "logits"]


def test_the_licence_of_weights_is_the_one_that_timm_states():
    assert get_licence("resnet18.a1_in1k") == "apache-2.0"
    assert get_licence("no_such_network.at_all") is None
