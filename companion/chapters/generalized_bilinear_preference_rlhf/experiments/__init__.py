"""The experiments: parameters in, arrays out."""

from dataclasses import dataclass

from companion.chapters.generalized_bilinear_preference_rlhf.experiments.commitment import Commit, Ranks, commit, ranks
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.cycles import Cycle, cycle
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.gap_law import GapLaw, gap_law
from companion.chapters.generalized_bilinear_preference_rlhf.experiments.learning import (
    Learning,
    Simplex,
    learning,
    simplex,
)
from companion.chapters.generalized_bilinear_preference_rlhf.parameters import Parameters

__all__ = ["Results", "commit", "cycle", "gap_law", "learning", "ranks", "run", "simplex"]


@dataclass(frozen=True)
class Results:
    """Everything that the claims are judged on."""

    cycle: Cycle
    gap_law: GapLaw
    learning: Learning
    simplex: Simplex
    commit: Commit
    ranks: Ranks


def run(params: Parameters) -> Results:
    """All experiments."""
    return Results(cycle(params), gap_law(params), learning(params), simplex(params), commit(params), ranks(params))
