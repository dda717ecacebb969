"""Pretrained networks of timm by family, with their published accuracy on ImageNet: names and numbers, no weights."""

from collections.abc import Mapping

__all__ = ["SMALL_ZOO", "ZOO"]

# Top-1 accuracy in percent on the 50,000 validation images, at the input size in timm's configuration of each name,
# from results/results-imagenet.csv of huggingface/pytorch-image-models (timm 1.0.31).
ZOO: Mapping[str, Mapping[str, float]] = {
    "ResNet": {
        "resnet18.tv_in1k": 69.75,
        "resnet18.a1_in1k": 71.50,
        "resnet34.tv_in1k": 73.30,
        "resnet50.tv_in1k": 76.16,
        "resnet50.a1_in1k": 80.38,
        "resnet101.tv_in1k": 77.40,
        "resnet152.tv_in1k": 78.33,
        "resnetblur50.bt_in1k": 79.31,
        "resnext50_32x4d.tv_in1k": 77.63,
        "resnext101_32x8d.tv_in1k": 79.31,
        "wide_resnet50_2.tv_in1k": 78.49,
        "wide_resnet101_2.tv_in1k": 78.86,
        "regnety_032.ra_in1k": 81.95,
    },
    "VGG": {
        "vgg11.tv_in1k": 69.05,
        "vgg13.tv_in1k": 69.95,
        "vgg16.tv_in1k": 71.59,
        "vgg19.tv_in1k": 72.40,
        "vgg11_bn.tv_in1k": 70.37,
        "vgg13_bn.tv_in1k": 71.56,
        "vgg16_bn.tv_in1k": 73.35,
        "vgg19_bn.tv_in1k": 74.23,
    },
    "DenseNet, Inception": {
        "densenet121.tv_in1k": 74.75,
        "densenet169.tv_in1k": 75.92,
        "densenet201.tv_in1k": 77.28,
        "inception_v3.tv_in1k": 77.47,
    },
    "EfficientNet, MobileNet": {
        "mobilenetv2_100.ra_in1k": 72.91,
        "mobilenetv2_140.ra_in1k": 76.53,
        "mobilenetv3_large_100.ra_in1k": 75.78,
        "mnasnet_100.rmsp_in1k": 74.67,
        "efficientnet_b0.ra_in1k": 77.70,
        "efficientnet_b1.ft_in1k": 77.59,
        "efficientnet_b2.ra_in1k": 79.32,
        "efficientnet_b3.ra2_in1k": 81.47,
        "efficientnet_b4.ra2_in1k": 82.66,
        "tf_efficientnet_b0.in1k": 76.54,
        "tf_efficientnet_b1.in1k": 78.55,
        "tf_efficientnet_b2.in1k": 79.61,
        "tf_efficientnet_b3.in1k": 80.88,
        "tf_efficientnet_b4.in1k": 82.60,
        "tf_efficientnet_b5.in1k": 83.17,
        "tf_efficientnet_b6.aa_in1k": 84.12,
        "tf_efficientnet_b7.aa_in1k": 84.42,
    },
    "ConvNeXt, ConvMixer": {
        "convnext_tiny.fb_in1k": 82.07,
        "convnext_small.fb_in1k": 83.14,
        "convnext_base.fb_in1k": 83.84,
        "convnext_large.fb_in1k": 84.30,
        "convmixer_768_32.in1k": 80.16,
    },
    "ViT": {
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k": 75.45,
        "vit_small_patch16_224.augreg_in21k_ft_in1k": 81.40,
        "vit_base_patch16_224.augreg_in21k_ft_in1k": 84.53,
        "vit_base_patch32_224.augreg_in21k_ft_in1k": 80.73,
        "deit_tiny_patch16_224.fb_in1k": 72.19,
        "deit_small_patch16_224.fb_in1k": 79.86,
        "deit_base_patch16_224.fb_in1k": 81.98,
        "beit_base_patch16_224.in22k_ft_in22k_in1k": 85.24,
        "convit_small.fb_in1k": 81.41,
        "convit_base.fb_in1k": 82.30,
    },
    "Swin": {
        "swin_tiny_patch4_window7_224.ms_in1k": 81.39,
        "swin_small_patch4_window7_224.ms_in1k": 83.23,
        "swin_base_patch4_window7_224.ms_in1k": 83.60,
    },
    "Mixer": {
        "mixer_b16_224.goog_in21k_ft_in1k": 76.62,
        "mixer_l16_224.goog_in21k_ft_in1k": 72.08,
        "resmlp_12_224.fb_in1k": 76.66,
        "resmlp_24_224.fb_in1k": 79.38,
    },
}

# Small architectures of the same families, to run with random weights on any machine.
SMALL_ZOO: Mapping[str, tuple[str, ...]] = {
    "ResNet": ("resnet18", "regnetx_002"),
    "VGG": ("vgg11",),
    "DenseNet, Inception": ("densenet121",),
    "EfficientNet, MobileNet": ("efficientnet_b0", "mobilenetv3_small_050"),
    "ConvNeXt, ConvMixer": ("convnext_atto",),
    "ViT": ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "convit_tiny"),
    "Swin": ("swin_tiny_patch4_window7_224",),
    "Mixer": ("mixer_s16_224", "resmlp_12_224"),
}
