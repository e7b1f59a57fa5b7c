"""Schedule-Free methods along the river of a loss landscape: averaging without a copy, and without a schedule."""

from companion.chapters.schedule_free_river.claims import CLAIMS, verify
from companion.chapters.schedule_free_river.experiments import Results, run
from companion.chapters.schedule_free_river.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
