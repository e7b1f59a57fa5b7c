"""Final gaps for many step sizes: one affine map per epoch, batched and powered, against iterating each step size."""

from time import perf_counter

import numpy as np

from companion.analysis.finite_sum import FiniteSumQuadratic


def looped(problem: FiniteSumQuadratic, x0: np.ndarray, epochs: int, etas: np.ndarray) -> np.ndarray:
    gaps = []
    for eta in etas:
        x = x0.copy()
        for _ in range(epochs):
            for i in range(problem.n):
                x = x - eta * problem.grad_i(x, i)
        gaps.append(problem.gap(x))
    return np.array(gaps)


def main() -> None:
    rng = np.random.default_rng(0)
    for n, epochs, steps in [(32, 4, 20), (64, 8, 50), (128, 16, 50)]:
        diagonals = rng.uniform(0.5, 8.0, size=(n, 3))
        problem = FiniteSumQuadratic(np.array([np.diag(h) for h in diagonals]), rng.normal(size=(n, 3)))
        x0, etas = np.ones(3), np.geomspace(1e-4, 0.1, steps)
        problem.final_gap(x0, epochs, etas, np.arange(n))  # warm up
        start = perf_counter()
        fast = problem.final_gap(x0, epochs, etas, np.arange(n))
        middle = perf_counter()
        slow = looped(problem, x0, epochs, etas)
        end = perf_counter()
        np.testing.assert_allclose(fast, slow, rtol=1e-8)
        print(
            f"n={n:4} epochs={epochs:3} step sizes={steps:3}: loop / engine = {(end - middle) / (middle - start):.0f}"
        )


if __name__ == "__main__":
    main()
