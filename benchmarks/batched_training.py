"""Training R small networks on real images: one batched model against a loop over R models of one replica."""

from time import perf_counter

import torch

from companion.data import load_dataset
from companion.models.batched import BatchedMLP, fit_many


def main() -> None:
    digits = load_dataset("digits", flatten=True)
    x, y = torch.as_tensor(digits.x_train), torch.as_tensor(digits.y_train)
    for replicas in (3, 10, 30):
        model = BatchedMLP((64, 64, 10), replicas, generator=torch.Generator().manual_seed(0))
        singles = [model.select([r]) for r in range(replicas)]
        rows = torch.arange(len(x)).expand(replicas, -1)
        settings = {"steps": 200, "batch": 64, "lr": 0.05}
        fit_many(model.select([0]), x, rows[:1], y[rows[:1]], generator=torch.Generator(), **settings)  # warm up
        start = perf_counter()
        # One stream: all replicas see the samples in the same order, so that both ways train the same networks.
        fit_many(
            model, x, rows, y[rows], generator=torch.Generator().manual_seed(1), streams=[0] * replicas, **settings
        )
        middle = perf_counter()
        for single in singles:
            fit_many(single, x, rows[:1], y[rows[:1]], generator=torch.Generator().manual_seed(1), **settings)
        end = perf_counter()
        together, apart = model(x.expand(replicas, -1, -1)), torch.cat([single(x[None]) for single in singles])
        torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3)
        print(f"{replicas:3} networks: loop / batched = {(end - middle) / (middle - start):.1f}")


if __name__ == "__main__":
    main()
