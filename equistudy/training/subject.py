"""A trained network and its images as the measures want them; weights as safetensors."""

import torch
from safetensors.torch import load, save
from torch import nn

from equistudy.datasets.dataset import Split
from equistudy.datasets.resident import resident
from equistudy.measures.measure import Subject
from equistudy.study.trial import Stream, Trial, derived_seed
from equistudy.training.trainer import build_network

__all__ = ["network_from", "subject_of", "weights_of"]


def weights_of(network: nn.Module, trial: Trial) -> bytes:
    """All parameters and buffers in the safetensors format; the header names the trial."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    return save(tensors, metadata={"trial": trial.id, "spec": str(trial)})


def network_from(weights: bytes, trial: Trial, device: torch.device) -> nn.Module:
    """The trial's network with stored weights, in eval mode."""
    network = build_network(trial, device)
    network.load_state_dict(load(weights))
    return network.eval()


def subject_of(trial: Trial, network: nn.Module, device: torch.device) -> Subject:
    """The network before and after training, with the test images in [0, 1]."""
    examples = resident(trial.dataset, Split.TEST, device)
    return Subject(
        network=network,
        stages=trial.model.stages(network),
        images=examples.images.to(torch.float32) / 255,
        targets=examples.targets,
        mean=trial.dataset.mean,
        std=trial.dataset.std,
        background=trial.dataset.background,
        untrained=build_network(trial, device),
        seed=derived_seed(trial.seed, Stream.MEASURING),
    )
