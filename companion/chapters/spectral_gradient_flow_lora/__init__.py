"""Muon and spectral gradient flow in low-rank adaptation: equal rates, smallest first, and where it all ends."""

from companion.chapters.spectral_gradient_flow_lora.claims import CLAIMS, verify
from companion.chapters.spectral_gradient_flow_lora.experiments import Results, run
from companion.chapters.spectral_gradient_flow_lora.parameters import PAPER, Parameters

__all__ = ["CLAIMS", "PAPER", "Parameters", "Results", "run", "verify"]
