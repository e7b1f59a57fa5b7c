"""A step of each optimizer of the library against its peers, on the same tensors in one run.

The floor of what reads and writes every weight once is ``torch.optim.AdamW(fused=True)``; that of Muon is the time in
which the device multiplies as many numbers. On a GPU: the matrices of 24 layers of width 256 and 768 and of 12 layers
of width 1024; on a CPU those of six layers of width 256. ``python benchmarks/optimizers.py [cpu|cuda]``.
"""

import sys
from collections.abc import Callable
from time import perf_counter

import pytorch_optimizer
import schedulefree
import torch

from companion.optim import AMUSE, MiMuon, Muon, ScheduleFreeAdamW, ScheduleFreeSGD

SIZES = {"cpu": [(256, 6)], "cuda": [(256, 24), (768, 24), (1024, 12)]}
ROUNDS = {"cpu": (15, 1), "cuda": (5, 10)}
BF16 = {"dtype": torch.bfloat16}


def training(optimizer):
    optimizer.train()
    return optimizer


def peer_of_amuse(params):
    base = torch.optim.Muon(params, lr=1e-4, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return training(schedulefree.ScheduleFreeWrapper(base, momentum=0.6))


OPTIMIZERS: dict[str, Callable] = {
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0.0, fused=True),
    "AdamW foreach": lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0.0, foreach=True),
    "schedulefree AdamW": lambda p: training(schedulefree.AdamWScheduleFree(p, lr=1e-4)),
    "pytorch_optimizer ScheduleFreeAdamW": lambda p: training(pytorch_optimizer.ScheduleFreeAdamW(p, lr=1e-4)),
    "ScheduleFreeAdamW": lambda p: ScheduleFreeAdamW(p, lr=1e-4),
    "ScheduleFreeAdamW compiled": lambda p: ScheduleFreeAdamW(p, lr=1e-4, compiled=True),
    "ScheduleFreeSGD": lambda p: ScheduleFreeSGD(p, lr=1e-4),
    "torch Muon": lambda p: torch.optim.Muon(p, lr=1e-4, weight_decay=0.0),
    "Muon bfloat16": lambda p: Muon(p, lr=1e-4, **BF16),
    "Muon": lambda p: Muon(p, lr=1e-4),
    "MiMuon fro bfloat16": lambda p: MiMuon(p, lr=1e-4, tau=1e-9, criterion="fro", **BF16),
    "schedulefree wrapper of torch Muon": peer_of_amuse,
    "AMUSE bfloat16": lambda p: AMUSE(p, lr=1e-4, rho=0.0, warmup_steps=2, **BF16),
}
FLOOR, MUON = "AdamW fused", "torch Muon"
# Of the two, the first is ours: how far are they apart after some steps, measured by how far they have come?
SAME = [
    ("ScheduleFreeAdamW", "schedulefree AdamW", 1e-3),
    ("ScheduleFreeAdamW compiled", "pytorch_optimizer ScheduleFreeAdamW", 1e-3),
    ("Muon bfloat16", "torch Muon", 1e-2),
    ("Muon", "torch Muon", 3e-2),
]


def matrices(width: int, layers: int, device: str, seed: int = 0) -> list[torch.Tensor]:
    """Those of transformer layers: four of attention, two of the perceptron."""
    generator = torch.Generator(device).manual_seed(seed)
    shapes = [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]
    return [torch.randn(shape, generator=generator, device=device) / width**0.5 for shape in shapes * layers]


def parameters(weights: list[torch.Tensor], gradients: list[torch.Tensor]) -> list[torch.nn.Parameter]:
    """Copies, gradients too: peers overwrite them."""
    params = [torch.nn.Parameter(w.clone()) for w in weights]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    return params


def agree(width: int, device: str, steps: int = 5) -> None:
    weights = matrices(width, 1, device)
    ends = {}
    for name in {name for pair in SAME for name in pair[:2]}:
        params = parameters(weights, matrices(width, 1, device, seed=1))
        optimizer = OPTIMIZERS[name](params)
        for k in range(steps):
            for p, g in zip(params, matrices(width, 1, device, seed=1 + k), strict=True):
                p.grad = g
            optimizer.step()
        ends[name] = torch.cat([(p.detach() - w).flatten() for p, w in zip(params, weights, strict=True)])
    for ours, peer, bound in SAME:
        apart = ((ends[ours] - ends[peer]).norm() / ends[peer].norm()).item()
        print(f"  {ours} and {peer} are {apart:.1e} apart after {steps} steps")
        assert apart < bound


def timed(steps: dict[str, Callable], device: str) -> dict[str, float]:
    """Milliseconds of a step, the best of some rounds; round by round one after the other, so that all are alike."""
    rounds, repeat = ROUNDS[device]
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds + 1):
        for name, step in steps.items():
            if device == "cuda":
                torch.cuda.synchronize()
            start = perf_counter()
            for _ in range(repeat):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            best[name] = min(best[name], 1e3 * (perf_counter() - start) / repeat)
    return best


def products(params: list[torch.Tensor]) -> float:
    """Operations of five steps of Newton-Schulz."""
    sizes = [sorted(p.shape) for p in params]
    return sum(5 * (4 * m * m * n + 2 * m**3) for m, n in sizes)


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else ("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads")
    for width, layers in SIZES[device]:
        weights, gradients = matrices(width, layers, device), matrices(width, layers, device, seed=1)
        print(f"{len(weights)} matrices of {layers} layers of width {width}")
        agree(width, device)
        steps = {name: make(parameters(weights, gradients)).step for name, make in OPTIMIZERS.items()}
        size = 4096 if device == "cuda" else 1024
        for dtype in (torch.bfloat16, torch.float32):
            square = torch.randn(size, size, device=device).to(dtype)
            steps[f"square {dtype}"] = lambda square=square: square @ square
        times = timed(steps, device)
        for name in OPTIMIZERS:
            print(
                f"  {name:36}{times[name]:9.2f} ms"
                f"{times[name] / times[FLOOR]:8.2f} x {FLOOR}{times[name] / times[MUON]:8.2f} x {MUON}"
            )
        for dtype in (torch.bfloat16, torch.float32):
            rate = 2 * size**3 / times[f"square {dtype}"]
            print(f"  Muon's products in {dtype}: {products(weights) / rate:.2f} ms at {rate / 1e9:.2f} TFLOP/s")
        parts = times["Muon bfloat16"] + times["ScheduleFreeSGD"]
        print(f"  AMUSE / (Muon + ScheduleFreeSGD) = {times['AMUSE bfloat16'] / parts:.2f}")


if __name__ == "__main__":
    main()
