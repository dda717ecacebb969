"""Are networks that learned more translation equivariance more accurate on ImageNet?

Source: Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) find that they are, over published networks. Nothing
is trained here and nothing downloaded: fetch the weights first, or name their folder with --weights-dir.

Finding: not among the kept results, because no weights were available.

Cost: not among the kept results; hours on two cores for 64 pretrained networks.

    python -m equistudy run studies/zoo.py                      # 64 pretrained networks
    python -m equistudy run studies/zoo.py --scale untrained    # random networks, which decide nothing
"""

import equistudy as eq

SHIFTS, TURNS = eq.Translation(max_pixels=32, pixels=(32,)), eq.CyclicGroup(4)
MEASURES = (eq.WithinCorrelation(SHIFTS), eq.WithinCorrelation(TURNS), eq.ShiftConsistency(SHIFTS))
SHIFTED = eq.Outcome(MEASURES[0], name="Translation equivariance (correlation, 32 px)")
TURNED = eq.Outcome(MEASURES[1], name="Rotation equivariance (correlation, quarter turns)")
PUBLISHED = {network: top1 for family in eq.ZOO.values() for network, top1 in family.items()}
FAMILY, NETWORK = eq.Factor("family", tuple(eq.ZOO)), eq.Factor("network", tuple(PUBLISHED))
PROTOCOL = eq.Factor("protocol", levels=(eq.Protocol.COMMON, eq.Protocol.NATIVE))
COMMON = eq.Factor("protocol", levels=PROTOCOL.levels[:1])
TOP1 = eq.ReportedValue("ImageNet top-1 (%)", NETWORK, PUBLISHED, unknown="no weights, so no accuracy on ImageNet")


def pretrained(family: str, network: str, protocol: eq.Protocol, seed: int) -> eq.Trial:
    """A network as its authors trained it, measured on synthetic images."""
    model, leaves = eq.TimmModel(network, pretrained=True, protocol=protocol), eq.DeadLeaves(256, test_images=128)
    return eq.Trial(model, leaves, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=0), seed)


def untrained(family: str, network: str, protocol: eq.Protocol, seed: int) -> eq.Trial:
    """A small network before any training, measured on small images."""
    model, leaves = eq.TimmModel(network, protocol=protocol), eq.DeadLeaves(160, test_images=32)
    return eq.Trial(model, leaves, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=0), seed)


AT = ((PROTOCOL, eq.Protocol.COMMON),)
POOLED = eq.RankCorrelation(SHIFTED, TOP1, over=NETWORK, expected="increasing", within=AT)
INSIDE = eq.RankCorrelation(SHIFTED, TOP1, over=NETWORK, centred=FAMILY, expected="increasing", within=AT)
TURNING = eq.RankCorrelation(TURNED, TOP1, over=NETWORK, centred=FAMILY, expected="increasing", within=AT)

study = eq.Study(
    question="Are networks that learned more translation equivariance more accurate on ImageNet?",
    design=eq.nested(pretrained, "family", "network", eq.ZOO, PROTOCOL, seeds=[0]),
    measures=MEASURES,
    claims=(
        eq.Claim("Translation equivariance rises with accuracy", POOLED),
        eq.Claim("Translation equivariance rises with accuracy within families", INSIDE),
    ),
    figures=(
        eq.RankScatter(INSIDE),
        eq.RankScatter(TURNING),
        eq.DepthProfile(SHIFTED, over=NETWORK, color=FAMILY, within=AT),
        eq.DepthProfile(TURNED, over=NETWORK, color=FAMILY, within=AT),
    ),
    scales={"untrained": eq.nested(untrained, "family", "network", eq.SMALL_ZOO, COMMON, seeds=[0])},
)
