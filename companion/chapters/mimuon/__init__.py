"""MiMuon, Muon mixed with momentum SGD: what one training example changes, and what that says of generalization."""

from companion.chapters.mimuon.claims import CLAIMS, verify
from companion.chapters.mimuon.experiments import Results, run
from companion.chapters.mimuon.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
