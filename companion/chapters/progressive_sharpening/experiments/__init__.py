"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.progressive_sharpening.experiments import limits, networks
from companion.chapters.progressive_sharpening.experiments.limits import Flips, Layers, Turning, flips, layers, turning
from companion.chapters.progressive_sharpening.experiments.networks import Noise, noise
from companion.chapters.progressive_sharpening.experiments.runs import Edge, Flow, Imbalance, edge, flow, imbalance
from companion.chapters.progressive_sharpening.parameters import Parameters

__all__ = [
    "Results",
    "edge",
    "flips",
    "flow",
    "growth",
    "imbalance",
    "layers",
    "network_growth",
    "noise",
    "run",
    "turning",
]

growth, network_growth = limits.growth, networks.growth


@dataclass(frozen=True)
class Results:
    """One field per experiment."""

    growth: limits.Growth
    turning: Turning
    flips: Flips
    layers: Layers
    flow: Flow
    edge: Edge
    imbalance: Imbalance
    network_growth: networks.Growth
    noise: Noise


def run(params: Parameters) -> Results:
    """Every experiment of the chapter."""
    return Results(
        growth=growth(params),
        turning=turning(params),
        flips=flips(params),
        layers=layers(params),
        flow=flow(params),
        edge=edge(params),
        imbalance=imbalance(params),
        network_growth=network_growth(params),
        noise=noise(params),
    )
