"""The words a study is written in.

They are imported when they are first used, so that `equistudy --help` does not pay for all of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equistudy.analysis.claims import Contrast, Direction, Trend, Value
    from equistudy.analysis.correlations import RankCorrelation
    from equistudy.analysis.outcome import (
        Combination,
        Known,
        Outcome,
        Quantity,
        Reference,
        orbit_mean,
        seen_minus_unseen,
    )
    from equistudy.augmentations.action import RandomAction
    from equistudy.augmentations.affine import RandomAffine, RandomScaling
    from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
    from equistudy.augmentations.chain import Chain
    from equistudy.augmentations.choice import RandomChoice
    from equistudy.augmentations.colour import ColourJitter
    from equistudy.augmentations.crop import RandomCrop
    from equistudy.augmentations.cutout import Cutout
    from equistudy.augmentations.disk import InscribedDisk
    from equistudy.augmentations.flip import HorizontalFlip
    from equistudy.augmentations.learned.augmentation import Aggregate, LearnedAugmentation
    from equistudy.augmentations.learned.colours import (
        COLOUR,
        BrightnessGenerator,
        ContrastGenerator,
        HueGenerator,
        SaturationGenerator,
    )
    from equistudy.augmentations.learned.fixed import FixedAugmentation
    from equistudy.augmentations.learned.generators import (
        AFFINE,
        GL2,
        SE2,
        Domain,
        LieGenerator,
        MatrixGenerator,
        RotationGenerator,
        ScalingGenerator,
        ShearGenerator,
        SqueezeGenerator,
        TranslationXGenerator,
        TranslationYGenerator,
    )
    from equistudy.augmentations.learned.regulariser import (
        BandRegulariser,
        BudgetRegulariser,
        EntropyRegulariser,
        NormRegulariser,
    )
    from equistudy.augmentations.learned.space import (
        AFFINE3,
        SE3,
        SO3,
        Axis,
        SpaceRotation,
        SpaceScaling,
        SpaceShear,
        SpaceSqueeze,
        SpaceTranslation,
    )
    from equistudy.augmentations.mixing import CutMix, Mixup
    from equistudy.augmentations.rand_augment import RandAugment
    from equistudy.augmentations.resized_crop import RandomResizedCrop
    from equistudy.augmentations.rotation import NormalRotation, RandomRotation
    from equistudy.augmentations.translation import RandomTranslation
    from equistudy.augmentations.turned import Asked, Turned
    from equistudy.datasets.camvid import CamVid
    from equistudy.datasets.cifar import CIFAR10, CIFAR100
    from equistudy.datasets.dataset import Dataset
    from equistudy.datasets.dead_leaves import DeadLeaves
    from equistudy.datasets.digits import Digits
    from equistudy.datasets.flowers import Flowers102
    from equistudy.datasets.image_folder import ImageFolder
    from equistudy.datasets.mario_iggy import MarioIggy
    from equistudy.datasets.mnist import MNIST, FashionMNIST
    from equistudy.datasets.olivetti import Olivetti
    from equistudy.datasets.parquet_images import ParquetImages
    from equistudy.datasets.patch_camelyon import PatchCamelyon
    from equistudy.datasets.point_clouds import PointClouds
    from equistudy.datasets.qm7 import QM7
    from equistudy.datasets.qm9 import QM9, Property
    from equistudy.datasets.sectors import Sectors
    from equistudy.datasets.shapes import Shapes
    from equistudy.datasets.springs import Springs
    from equistudy.datasets.sprites import Sprites
    from equistudy.datasets.turned_pair import Picture, TurnedPair
    from equistudy.exactness.audit import Audit, audit
    from equistudy.groups.finite import ChannelAction, CyclicGroup, DihedralGroup, Flip, Reflection
    from equistudy.groups.one_parameter import Rotation, Scaling, Shear
    from equistudy.groups.subpixel import SubpixelTranslation
    from equistudy.groups.translation import Border, Translation
    from equistudy.measures.accuracy import Accuracy
    from equistudy.measures.accuracy_per_angle import AccuracyPerAngle, Surround
    from equistudy.measures.agreement import (
        AbsoluteError,
        ConcordanceCorrelation,
        CosineSimilarity,
        NormalisedError,
        PeakSignalToNoise,
        SignalToNoise,
    )
    from equistudy.measures.consistency import AccuracyUnder, ShiftConsistency, TopOneChange
    from equistudy.measures.correlation import BetweenCorrelation, TotalCorrelation, WithinCorrelation
    from equistudy.measures.direct import measure
    from equistudy.measures.lie_derivative import LieContribution, LieDerivative
    from equistudy.measures.matched import MatchedCorrelation, Matching
    from equistudy.measures.measure import Measure
    from equistudy.measures.normalised_variance import NormalisedVariance
    from equistudy.models.checkpoint import Checkpoint
    from equistudy.models.convmixer import ConvMixer
    from equistudy.models.convnext import ConvNeXt
    from equistudy.models.custom import Custom
    from equistudy.models.equivariant.choices import Downsampling, Factorisation, Head, Initialisation
    from equistudy.models.force_network import ForceNetwork
    from equistudy.models.group_cnn import GroupCNN
    from equistudy.models.mixer import MLPMixer
    from equistudy.models.model import Model
    from equistudy.models.plain_cnn import PlainCNN
    from equistudy.models.point_network import PointNetwork, Sight
    from equistudy.models.preactivation_resnet import PCamResNet, PreactivationResNet
    from equistudy.models.resnet import Padding, Pooling, Readout, ResNet, Shortcut
    from equistudy.models.single_convolution import SingleConvolution
    from equistudy.models.sized import Budget
    from equistudy.models.timm_model import Protocol, TimmModel
    from equistudy.models.unet import UNet
    from equistudy.models.vit import Positions, Stem, ViT
    from equistudy.models.window import Window
    from equistudy.models.zoo import SMALL_ZOO, ZOO
    from equistudy.recipe import SGD, AdamW, Constant, Cosine, OneCycle, Precision, RateScaling, Recipe
    from equistudy.report.angles import AngleCurve
    from equistudy.report.examples import LearnedImages
    from equistudy.report.figures import Curve, LayerProfile, LearningCurve, Scatter, Score
    from equistudy.report.phases import PhaseCurve
    from equistudy.report.relations import DepthProfile, RankScatter
    from equistudy.results.results import results
    from equistudy.study.design import Factor, factorial, nested
    from equistudy.study.search import ROUND, search
    from equistudy.study.space import Choice, Halving, LogUniform, Uniform
    from equistudy.study.study import Claim, Study
    from equistudy.study.trial import Trial
    from equistudy.tasks.classification import Classification
    from equistudy.tasks.dynamics import Dynamics
    from equistudy.tasks.molecules import Molecules
    from equistudy.tasks.penalised import Depth, Dissimilarity, Penalised, Penalty
    from equistudy.tasks.regression import Regression
    from equistudy.tasks.segmentation import Segmentation

_HOME = {
    "analysis.claims": ("Contrast", "Direction", "Trend", "Value"),
    "analysis.correlations": ("RankCorrelation",),
    "analysis.outcome": ("Combination", "Known", "Outcome", "Quantity", "Reference", "orbit_mean", "seen_minus_unseen"),
    "augmentations.action": ("RandomAction",),
    "augmentations.affine": ("RandomAffine", "RandomScaling"),
    "augmentations.augmentation": ("Augmentation", "NoAugmentation"),
    "augmentations.chain": ("Chain",),
    "augmentations.choice": ("RandomChoice",),
    "augmentations.colour": ("ColourJitter",),
    "augmentations.crop": ("RandomCrop",),
    "augmentations.cutout": ("Cutout",),
    "augmentations.disk": ("InscribedDisk",),
    "augmentations.flip": ("HorizontalFlip",),
    "augmentations.learned.augmentation": ("Aggregate", "LearnedAugmentation"),
    "augmentations.learned.colours": (
        "COLOUR",
        "BrightnessGenerator",
        "ContrastGenerator",
        "HueGenerator",
        "SaturationGenerator",
    ),
    "augmentations.learned.fixed": ("FixedAugmentation",),
    "augmentations.learned.generators": (
        "AFFINE",
        "GL2",
        "SE2",
        "Domain",
        "LieGenerator",
        "MatrixGenerator",
        "RotationGenerator",
        "ScalingGenerator",
        "ShearGenerator",
        "SqueezeGenerator",
        "TranslationXGenerator",
        "TranslationYGenerator",
    ),
    "augmentations.learned.regulariser": (
        "BandRegulariser",
        "BudgetRegulariser",
        "EntropyRegulariser",
        "NormRegulariser",
    ),
    "augmentations.learned.space": (
        "AFFINE3",
        "SE3",
        "SO3",
        "Axis",
        "SpaceRotation",
        "SpaceScaling",
        "SpaceShear",
        "SpaceSqueeze",
        "SpaceTranslation",
    ),
    "augmentations.mixing": ("CutMix", "Mixup"),
    "augmentations.rand_augment": ("RandAugment",),
    "augmentations.resized_crop": ("RandomResizedCrop",),
    "augmentations.rotation": ("NormalRotation", "RandomRotation"),
    "augmentations.translation": ("RandomTranslation",),
    "datasets.camvid": ("CamVid",),
    "datasets.cifar": ("CIFAR10", "CIFAR100"),
    "datasets.dataset": ("Dataset",),
    "datasets.dead_leaves": ("DeadLeaves",),
    "datasets.digits": ("Digits",),
    "datasets.flowers": ("Flowers102",),
    "datasets.image_folder": ("ImageFolder",),
    "datasets.mario_iggy": ("MarioIggy",),
    "datasets.mnist": ("MNIST", "FashionMNIST"),
    "datasets.olivetti": ("Olivetti",),
    "datasets.parquet_images": ("ParquetImages",),
    "datasets.patch_camelyon": ("PatchCamelyon",),
    "datasets.point_clouds": ("PointClouds",),
    "datasets.qm7": ("QM7",),
    "datasets.qm9": ("QM9", "Property"),
    "datasets.sectors": ("Sectors",),
    "datasets.shapes": ("Shapes",),
    "datasets.springs": ("Springs",),
    "datasets.sprites": ("Sprites",),
    "augmentations.turned": ("Asked", "Turned"),
    "datasets.turned_pair": ("Picture", "TurnedPair"),
    "exactness.audit": ("Audit", "audit"),
    "groups.finite": ("ChannelAction", "CyclicGroup", "DihedralGroup", "Flip", "Reflection"),
    "groups.one_parameter": ("Rotation", "Scaling", "Shear"),
    "groups.subpixel": ("SubpixelTranslation",),
    "groups.translation": ("Border", "Translation"),
    "measures.accuracy": ("Accuracy",),
    "measures.accuracy_per_angle": ("AccuracyPerAngle", "Surround"),
    "measures.agreement": (
        "AbsoluteError",
        "ConcordanceCorrelation",
        "CosineSimilarity",
        "NormalisedError",
        "PeakSignalToNoise",
        "SignalToNoise",
    ),
    "measures.consistency": ("AccuracyUnder", "ShiftConsistency", "TopOneChange"),
    "measures.correlation": ("BetweenCorrelation", "TotalCorrelation", "WithinCorrelation"),
    "measures.direct": ("measure",),
    "measures.lie_derivative": ("LieContribution", "LieDerivative"),
    "measures.matched": ("MatchedCorrelation", "Matching"),
    "measures.measure": ("Measure",),
    "measures.normalised_variance": ("NormalisedVariance",),
    "models.checkpoint": ("Checkpoint",),
    "models.convmixer": ("ConvMixer",),
    "models.convnext": ("ConvNeXt",),
    "models.custom": ("Custom",),
    "models.equivariant.choices": ("Downsampling", "Factorisation", "Head", "Initialisation"),
    "models.force_network": ("ForceNetwork",),
    "models.group_cnn": ("GroupCNN",),
    "models.mixer": ("MLPMixer",),
    "models.model": ("Model",),
    "models.plain_cnn": ("PlainCNN",),
    "models.point_network": ("PointNetwork", "Sight"),
    "models.preactivation_resnet": ("PCamResNet", "PreactivationResNet"),
    "models.resnet": ("Padding", "Pooling", "Readout", "ResNet", "Shortcut"),
    "models.single_convolution": ("SingleConvolution",),
    "models.sized": ("Budget",),
    "models.timm_model": ("Protocol", "TimmModel"),
    "models.unet": ("UNet",),
    "models.vit": ("Positions", "Stem", "ViT"),
    "models.window": ("Window",),
    "models.zoo": ("SMALL_ZOO", "ZOO"),
    "recipe": ("SGD", "AdamW", "Constant", "Cosine", "OneCycle", "Precision", "RateScaling", "Recipe"),
    "report.angles": ("AngleCurve",),
    "report.examples": ("LearnedImages",),
    "report.figures": ("Curve", "LayerProfile", "LearningCurve", "Scatter", "Score"),
    "report.phases": ("PhaseCurve",),
    "report.relations": ("DepthProfile", "RankScatter"),
    "study.design": ("Factor", "factorial", "nested"),
    "study.search": ("ROUND", "search"),
    "study.space": ("Choice", "Halving", "LogUniform", "Uniform"),
    "study.study": ("Claim", "Study"),
    "study.trial": ("Trial",),
    "tasks.classification": ("Classification",),
    "tasks.dynamics": ("Dynamics",),
    "tasks.molecules": ("Molecules",),
    "tasks.penalised": ("Depth", "Dissimilarity", "Penalised", "Penalty"),
    "tasks.regression": ("Regression",),
    "tasks.segmentation": ("Segmentation",),
}
_MODULE = {name: f"equistudy.{module}" for module, names in _HOME.items() for name in names}
_MODULE["results"] = "equistudy.results"

__all__ = sorted(_MODULE)  # noqa: PLE0605 -- the same names as above, which a test compares


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"equistudy has no {name!r}. It has: {', '.join(__all__)}.")
    home = importlib.import_module(_MODULE[name])
    value = home if name == "results" else getattr(home, name)  # that package is itself what a study calls
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
