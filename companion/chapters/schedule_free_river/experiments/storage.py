"""How many numbers an optimizer keeps beside each weight, counted in what it really keeps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from companion.chapters.schedule_free_river.parameters import Parameters
from companion.optim import ScheduleFreeAdamW
from companion.results import experiment

KEEPERS = ("AdamW", "SF-AdamW", "refined SF-AdamW", "AdamW and an average")


@dataclass(frozen=True)
class Storage:
    """For each of KEEPERS."""

    numbers: np.ndarray  #: kept for each weight beside the weight itself, (4,)


def _kept(model: torch.nn.Module, optimizer: torch.optim.Optimizer, average: AveragedModel | None) -> float:
    """Numbers of the optimizer's state and of the average, for each weight; single numbers of a tensor left out."""
    weights = sum(p.numel() for p in model.parameters())
    state = [t for held in optimizer.state.values() for t in held.values() if torch.is_tensor(t) and t.numel() > 1]
    more = [] if average is None else list(average.module.parameters())
    return sum(t.numel() for t in [*state, *more]) / weights


@experiment
def storage(params: Parameters) -> Storage:
    """After a step of each on a small network."""
    found = []
    for keeper in KEEPERS:
        torch.manual_seed(params.seed)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
        average = None
        if "SF" in keeper:
            optimizer = ScheduleFreeAdamW(model.parameters(), lr=1e-2, C=params.C if "refined" in keeper else None)
        else:
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        if keeper.endswith("average"):
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(params.ema))
        model(torch.ones(3, 8)).square().mean().backward()
        optimizer.step()
        if average is not None:
            average.update_parameters(model)
        found.append(_kept(model, optimizer, average))
    return Storage(np.array(found))
