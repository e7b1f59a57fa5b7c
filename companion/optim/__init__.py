"""Optimizers as torch.optim.Optimizer subclasses, one file each."""

from companion.optim.amuse import AMUSE
from companion.optim.mimuon import MiMuon
from companion.optim.muon import Muon
from companion.optim.sam import SAM
from companion.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD, averaging_weights
from companion.optim.signum import Signum

__all__ = ["AMUSE", "SAM", "MiMuon", "Muon", "ScheduleFreeAdamW", "ScheduleFreeSGD", "Signum", "averaging_weights"]
