"""Every name is one of timm's with weights, and every size is the one that the accuracy was published for."""

import pytest

from equistudy.models.zoo import SMALL_ZOO, ZOO
from equistudy.networks.import_timm import import_timm

# results-imagenet.csv gives these at another size than 224
SIZES = {
    "inception_v3.tv_in1k": 299,
    "efficientnet_b2.ra_in1k": 256,
    "efficientnet_b3.ra2_in1k": 288,
    "efficientnet_b4.ra2_in1k": 320,
    "tf_efficientnet_b1.in1k": 240,
    "tf_efficientnet_b2.in1k": 260,
    "tf_efficientnet_b3.in1k": 300,
    "tf_efficientnet_b4.in1k": 380,
    "tf_efficientnet_b5.in1k": 456,
    "tf_efficientnet_b6.aa_in1k": 528,
    "tf_efficientnet_b7.aa_in1k": 600,
}
NAMES = [name for family in ZOO.values() for name in family]


def test_there_are_enough_and_none_twice():
    assert len(NAMES) == len(set(NAMES)) >= 60
    assert len(ZOO) <= 8  # as many colours as can be told apart
    assert all(len(family) >= 3 for family in ZOO.values())  # one network tells nothing about its family
    assert all(60 < top1 < 90 for family in ZOO.values() for top1 in family.values())


@pytest.mark.parametrize("name", NAMES)
def test_timm_has_the_weights_with_imagenets_classes_at_the_published_size(name):
    timm = import_timm()
    assert name in timm.list_pretrained(name.partition(".")[0])
    config = timm.get_pretrained_cfg(name)
    assert config.hf_hub_id in ("timm/", f"timm/{name}")
    assert config.num_classes == 1000
    assert config.input_size == (3, SIZES.get(name, 224), SIZES.get(name, 224))


def test_the_small_zoo_has_random_networks_of_the_same_families():
    timm = import_timm()
    names = [name for family in SMALL_ZOO.values() for name in family]
    assert SMALL_ZOO.keys() == ZOO.keys()
    assert len(names) >= 10
    assert all(timm.is_model(name) and "." not in name for name in names)  # without a tag there is no accuracy
