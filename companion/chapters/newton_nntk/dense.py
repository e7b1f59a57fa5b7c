"""The whole Hessian of small networks, to be diagonalized."""

from torch import Tensor

from companion.chapters.newton_nntk.network import UNIT, Network, jacobian


def dense_hessian(network: Network, u: Tensor, x: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """``H = J^T J / M + blockdiag(B_i)``, of the loss ``(1 / 2M) sum_m (g(x_m) - y_m)^2``.

    Parameters
    ----------
    u : preactivations ``(runs, N, M)`` at the inputs ``x``, ``(M, 3)``
    B : second-order blocks, ``(runs, N, 4, 4)``

    Returns
    -------
    The Hessian ``(runs, 4 N, 4 N)``, unit by unit, and the Jacobian ``(4, runs, N, M)``
    """
    J = jacobian(network, u, x)
    rows = J.permute(1, 2, 0, 3).flatten(1, 2)
    H = rows @ rows.mT / len(x)
    for i in range(B.shape[1]):
        own = slice(UNIT * i, UNIT * (i + 1))
        H[:, own, own] += B[:, i]
    return H, J
