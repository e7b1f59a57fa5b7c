"""A proof by exact arithmetic: on the class, RPCD's rate lies below the bound B for *every* sigma in (0, 1), n given.

RPCD's rate is the larger root of ``z^2 - t z + d``, with trace and determinant t, d of a 2 x 2 matrix whose entries
are polynomials in sigma with rational coefficients. A number z exceeds both roots iff ``z^2 - t z + d > 0`` and
``2 z > t``. For sigma <= 1/2 take ``z = (1 - sigma/n)^(2n)``, for sigma >= 1/2 ``z = (1 - 1/n)^n``; both conditions are
then polynomial inequalities on an interval, decided by Bernstein coefficients in integer arithmetic: if all are
positive, so is the polynomial. No rounding takes part.
"""

from fractions import Fraction
from itertools import pairwise
from math import comb

Polynomial = list[Fraction]  # coefficients, constant term first


def certified(n: int, exponent: int | None = None, depth: int = 12) -> bool:
    """Whether RPCD's rate on ``A_sigma`` is proved to be below the bound for all sigma.

    Parameters
    ----------
    n : dimension, 2 or larger
    exponent : of ``(1 - sigma/n)`` in the bound, ``2 n`` by default
    depth : how often an interval may be halved before giving up
    """
    trace, determinant = _trace_and_determinant(n)
    half = Fraction(1, 2)
    exponent = 2 * n if exponent is None else exponent
    power = _power([Fraction(1), Fraction(-1, n)], exponent)
    constant = [Fraction(n - 1, n) ** n]
    for z, a, b in ((power, Fraction(0), half), (constant, half, Fraction(1))):
        above = _add(_add(_times(z, z), _times(trace, z), -1), determinant)
        beyond = _add(_add(z, z), trace, -1)
        if a == 0:  # all sides meet where the rate is one: a simple zero
            above = above[1:] if above[0] == 0 else above
        if not (_positive(above, a, b, depth) and _positive(beyond, a, b, depth)):
            return False
    return True


def _trace_and_determinant(n: int) -> tuple[Polynomial, Polynomial]:
    """Trace and determinant of the 2 x 2 matrix of RPCD on ``span{I, J}``, as polynomials in sigma."""
    one, sigma = [Fraction(1)], [Fraction(0), Fraction(1)]
    q2 = _power([Fraction(1), Fraction(-1)], 2)
    # From second moment I: the running sum's coefficients on the coordinates. From J: the running sum of ones.
    weights, ones = [one] * n, [Fraction(n)]
    v1_I, v1_J = [Fraction(0)], [Fraction(0)]
    for i in range(n):
        weights[i] = _add(weights[i], one, -1)
        ones = _add(ones, one, -1)
        for w in weights:
            v1_I = _add(v1_I, _times(w, w))
        v1_J = _add(v1_J, _times(ones, ones))
        weights = [_times(sigma, w) for w in weights]
        ones = _times(sigma, ones)
    v2_I = [Fraction(0)]
    for w in weights:
        v2_I = _add(v2_I, _times(w, w))
    entries = []
    for v1, v2 in ((_times(q2, v1_I), v2_I), (_times(q2, v1_J), _times(ones, ones))):
        beta = _scale(_add(v2, v1, -1), Fraction(1, n * (n - 1)))
        entries.append((_add(_scale(v1, Fraction(1, n)), beta, -1), beta))
    (alpha_I, beta_I), (alpha_J, beta_J) = entries
    return _add(alpha_I, beta_J), _add(_times(alpha_I, beta_J), _times(alpha_J, beta_I), -1)


def _positive(p: Polynomial, a: Fraction, b: Fraction, depth: int) -> bool:
    """Whether ``p > 0`` on all of ``[a, b]`` is proved by at most ``depth`` halvings."""
    waiting = [(_bernstein(p, a, b), depth)]
    while waiting:
        coefficients, left = waiting.pop()
        if coefficients[0] <= 0 or coefficients[-1] <= 0:  # the values at the two ends
            return False
        if min(coefficients) > 0:
            continue
        if not left:
            return False
        waiting += [(part, left - 1) for part in _halves(coefficients)]
    return True


def _bernstein(p: Polynomial, a: Fraction, b: Fraction) -> list[Fraction]:
    """Coefficients of p in the Bernstein basis of ``[a, b]``; p lies between the least and the largest of them."""
    moved = [Fraction(0)]  # p(a + (b - a) t), by Horner's rule
    for c in reversed(p):
        moved = _add(_times(moved, [a, b - a]), [c])
    moved = moved[: len(p)]
    degree = len(moved) - 1
    return [sum(Fraction(comb(k, j), comb(degree, j)) * moved[j] for j in range(k + 1)) for k in range(degree + 1)]


def _halves(coefficients: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
    """Bernstein coefficients on the two halves of the interval, by de Casteljau's algorithm."""
    left, right, row = [], [], coefficients
    while row:
        left.append(row[0])
        right.append(row[-1])
        row = [(x + y) / 2 for x, y in pairwise(row)]
    return left, right[::-1]


def _add(p: Polynomial, r: Polynomial, factor: int = 1) -> Polynomial:
    size = max(len(p), len(r))
    p, r = p + [Fraction(0)] * (size - len(p)), r + [Fraction(0)] * (size - len(r))
    return [x + factor * y for x, y in zip(p, r, strict=True)]


def _scale(p: Polynomial, factor: Fraction) -> Polynomial:
    return [factor * x for x in p]


def _times(p: Polynomial, r: Polynomial) -> Polynomial:
    product = [Fraction(0)] * (len(p) + len(r) - 1)
    for i, x in enumerate(p):
        if x:
            for j, y in enumerate(r):
                product[i + j] += x * y
    return product


def _power(p: Polynomial, exponent: int) -> Polynomial:
    result = [Fraction(1)]
    for _ in range(exponent):
        result = _times(result, p)
    return result
