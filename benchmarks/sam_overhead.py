"""A step of SAM takes two gradients; how much more does it take than two steps of its base optimizer?"""

from time import perf_counter

import torch

from companion.optim import SAM


def timed(step, repeat: int = 100) -> float:
    for _ in range(10):
        step()
    start = perf_counter()
    for _ in range(repeat):
        step()
    return (perf_counter() - start) / repeat


def main() -> None:
    torch.manual_seed(0)
    for width, depth in [(64, 2), (256, 4), (512, 8)]:
        layers = [torch.nn.Linear(width, width) for _ in range(depth)]
        model, x = torch.nn.Sequential(*layers), torch.randn(128, width)
        sgd = torch.optim.SGD(model.parameters(), lr=1e-4)
        sam = SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=1e-4)

        def closure(optimizer=sgd, model=model, x=x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        def plain(closure=closure, sgd=sgd):
            closure()
            sgd.step()

        ratio = timed(lambda sam=sam, closure=closure: sam.step(closure)) / (2 * timed(plain))
        print(f"{depth} layers of {width}: SAM step / two SGD steps = {ratio:.2f}")


if __name__ == "__main__":
    main()
