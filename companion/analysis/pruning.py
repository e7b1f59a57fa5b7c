"""Data pruning: scores from the dynamics of training, and rules that select a subset from scores.

A network is trained on all ``N`` samples, and at each of ``T`` epochs one notes, for the *given* label ``y_i``, the
probability ``P_k(y_i | x_i)``, the margin over the best other class, whether the answer is right, and the length of the
error vector ``‖p - e_y‖₂``. All scores are functions of these four arrays; all selectors are functions of scores.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> p = rng.random((12, 100))
>>> dynamics = TrainingDynamics(target_prob=p, margin=2 * p - 1, correct=p > 0.5, error_norm=1 - p)
>>> chosen = beta_sampling(dynamics.dual(window=10), dynamics.mean_prob(), n=30, ratio=0.7, c_d=4.0, rng=rng)
>>> len(set(chosen.tolist()))
30
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import beta as beta_law


@dataclass(frozen=True)
class TrainingDynamics:
    """What was noted at each epoch of training; the axes behind the first are free, usually ``(replicas, N)``.

    Attributes
    ----------
    target_prob : probability of the given label, ``(T, ..., N)``
    margin : that probability minus the largest other, ``(T, ..., N)``
    correct : whether the given label is the most probable, ``(T, ..., N)``
    error_norm : Euclidean norm of (probabilities minus one-hot label), ``(T, ..., N)``
    """

    target_prob: np.ndarray
    margin: np.ndarray
    correct: np.ndarray
    error_norm: np.ndarray

    @property
    def epochs(self) -> int:
        """Number of epochs recorded, ``T``."""
        return len(self.target_prob)

    def first(self, epochs: int) -> "TrainingDynamics":
        """The dynamics of the first epochs only."""
        return TrainingDynamics(*(a[: self._until(epochs)] for a in self._arrays()))

    def replica(self, index: int) -> "TrainingDynamics":
        """The dynamics of one entry of the second axis."""
        return TrainingDynamics(*(a[:, index] for a in self._arrays()))

    def mean_prob(self, epochs: int | None = None) -> np.ndarray:
        """Mean probability of the given label over the first ``epochs``, shape ``(..., N)``."""
        return self.target_prob[: self._until(epochs)].mean(0, dtype=np.float64)

    def windows(self, window: int, epochs: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Mean and unbiased standard deviation of the probability in each window of consecutive epochs."""
        epochs = self._until(epochs)
        if not 2 <= window <= epochs:
            raise ValueError(f"window: got {window}, allowed: an integer from 2 to the {epochs} epochs recorded")
        for start in range(epochs - window + 1):
            seen = self.target_prob[start : start + window].astype(np.float32)
            yield seen.mean(0), seen.std(0, ddof=1)

    def dual(
        self,
        window: int = 10,
        epochs: int | None = None,
        power: float = 1.0,
    ) -> np.ndarray:
        r"""Difficulty times uncertainty, averaged over windows; large if worth keeping.

        .. math:: \frac{1}{T-J+1}\sum_{k=1}^{T-J+1} (1-\bar P_k)^p\, s_k

        with the mean :math:`\bar P_k` and the unbiased standard deviation :math:`s_k`
        of the window that starts at ``k``.

        Parameters
        ----------
        window : ``J``, at least 2
        epochs : ``T``, by default all recorded
        power : ``p``; 1 is DUAL, 0 is Dyn-Unc
        """
        score, count = 0.0, 0
        for mean, std in self.windows(window, epochs):
            score = score + np.maximum(1 - mean, 1e-6) ** power * std
            count += 1
        return score / count

    def dyn_unc(self, window: int = 10, epochs: int | None = None) -> np.ndarray:
        """Dynamic uncertainty: the mean of the windows' standard deviations; large for samples worth keeping."""
        return self.dual(window, epochs, power=0.0)

    def aum(self, epochs: int | None = None) -> np.ndarray:
        """Area under the margin: its mean over epochs; *small* for hard samples and wrong labels."""
        return self.margin[: self._until(epochs)].mean(0, dtype=np.float64)

    def el2n(self, epoch: int) -> np.ndarray:
        """Error norm after the given epoch, counted from 1; large for hard samples."""
        if not 1 <= epoch <= self.epochs:
            raise ValueError(f"epoch: got {epoch}, allowed: an integer from 1 to the {self.epochs} epochs recorded")
        return self.error_norm[epoch - 1].astype(np.float64)

    def forgetting(self, epochs: int | None = None) -> np.ndarray:
        """How often a right answer turned wrong at the next epoch; infinite if it never was right."""
        right = self.correct[: self._until(epochs)]
        events = (right[:-1] & ~right[1:]).sum(0).astype(np.float64)
        return np.where(right.any(0), events, np.inf)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.target_prob, self.margin, self.correct, self.error_norm

    def _until(self, epochs: int | None) -> int:
        if epochs is None:
            return self.epochs
        if not 1 <= epochs <= self.epochs:
            raise ValueError(f"epochs: got {epochs}, allowed: an integer from 1 to the {self.epochs} recorded")
        return epochs


class Recorder:
    """Collects :class:`TrainingDynamics` while a batched model trains, on its device and in half precision.

    Parameters
    ----------
    labels : the given labels, shape ``(R, N)``, on the device
    epochs : how many epochs will be noted
    """

    def __init__(self, labels: torch.Tensor, epochs: int):
        self.labels = labels
        shape = (epochs, *labels.shape)
        self.target_prob, self.margin, self.error_norm = (
            torch.zeros(shape, dtype=torch.float16, device=labels.device) for _ in range(3)
        )
        self.correct = torch.zeros(shape, dtype=torch.bool, device=labels.device)

    @torch.no_grad()
    def note(self, epoch: int, positions: torch.Tensor, logits: torch.Tensor) -> None:
        """Note the logits ``(R, b, classes)`` of the samples at ``positions`` ``(R, b)``."""
        labels = self.labels.gather(1, positions)[:, None]
        # A network that diverged gives no probability to any class.
        probabilities = torch.nan_to_num(logits.float().transpose(1, 2).softmax(1), nan=0.0)
        target = probabilities.gather(1, labels).squeeze(1)
        other = probabilities.scatter(1, labels, -1.0).amax(1)
        squares = probabilities.square().sum(1) + 1 - 2 * target  # ‖p - e_y‖² = ‖p‖² - 2 p_y + 1
        self.target_prob[epoch].scatter_(1, positions, target.half())
        self.margin[epoch].scatter_(1, positions, (target - other).half())
        self.correct[epoch].scatter_(1, positions, target > other)
        self.error_norm[epoch].scatter_(1, positions, squares.clamp(min=0).sqrt().half())

    def dynamics(self) -> TrainingDynamics:
        """What was noted, as numpy arrays."""
        arrays = (self.target_prob, self.margin, self.correct, self.error_norm)
        return TrainingDynamics(*(a.cpu().numpy() for a in arrays))


def kept(total: int, ratio: float) -> int:
    """Number of samples that stay when the share ``ratio`` is removed, ``⌊(1 - r) N⌋`` and at least 1."""
    if not 0 < ratio < 1:
        raise ValueError(f"ratio: got {ratio}, allowed: a number above 0 and below 1")
    return max(1, int((1 - ratio) * total + 1e-9))  # 1 - 0.9 is a little less than 0.1


def top_n(score: np.ndarray, n: int) -> np.ndarray:
    """Indices of the ``n`` largest scores, largest first; ties go to the smaller index."""
    _check_size(n, len(score))
    return np.argsort(-score, kind="stable")[:n]


def random(total: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` of ``range(total)``, uniformly and without replacement."""
    _check_size(n, total)
    return rng.permutation(total)[:n]


def beta_parameters(
    mean_top: float,
    ratio: float,
    c_d: float,
    concentration: float = 15.0,
) -> tuple[float, float]:
    """Parameters of the pruning-ratio-adaptive Beta law over mean probabilities.

    ``beta = C (1 - mean_top) (1 - ratio**c_d)`` and ``alpha = C + 1 - beta``, with
    ``C`` the concentration.

    Parameters
    ----------
    mean_top : mean probability of the samples of largest score, in [0, 1]
    ratio : share of the data that is removed
    c_d : how late in ``ratio`` the law turns to easy samples; larger is harder
    """
    beta = concentration * (1 - mean_top) * (1 - ratio**c_d)
    return concentration + 1 - beta, beta


def beta_weights(
    score: np.ndarray,
    mean_prob: np.ndarray,
    ratio: float,
    c_d: float,
    concentration: float = 15.0,
) -> np.ndarray:
    """Sampling probabilities: Beta density at the mean probability, times the score."""
    mean_top = mean_prob[top_n(score, min(10, len(score)))].mean()
    alpha, beta = beta_parameters(mean_top, ratio, c_d, concentration)
    inside = np.clip(mean_prob, 1e-6, 1 - 1e-6)
    # With beta = 0 the law has all its mass at 1; a tiny beta keeps its density finite.
    log_density = beta_law.logpdf(inside, alpha, max(beta, 1e-9))
    weights = np.exp(log_density - log_density.max()) * np.maximum(score, 0)
    peak = weights.max()
    weights = np.maximum(weights, 1e-12 * peak) if peak > 0 else np.ones_like(weights)
    return weights / weights.sum()


def beta_sampling(
    score: np.ndarray,
    mean_prob: np.ndarray,
    *,
    n: int,
    ratio: float,
    c_d: float,
    rng: np.random.Generator,
    concentration: float = 15.0,
) -> np.ndarray:
    """Draw ``n`` indices without replacement, with probabilities :func:`beta_weights`.

    ``ratio`` only shapes the Beta law; it is usually ``1 - n / N``, and a constant when the adaptation is switched off.
    """
    _check_size(n, len(score))
    return rng.choice(len(score), n, replace=False, p=beta_weights(score, mean_prob, ratio, c_d, concentration))


def aum_cutoff(aum: np.ndarray, cut: float, n: int) -> np.ndarray:
    """Drop the share ``cut`` of smallest margins (taken for wrong labels), then keep the ``n`` smallest of the rest."""
    order = _after_cut(aum, cut)
    _check_size(n, len(order))
    return order[:n]


def ccs(aum: np.ndarray, cut: float, n: int, rng: np.random.Generator, bins: int = 50) -> np.ndarray:
    """Coverage-centric selection: drop the share ``cut`` of smallest margins, sample evenly over strata of the rest.

    The rest is divided into ``bins`` strata of equal width in the margin. From the least populated stratum to the most,
    each gets an equal part of the budget that is left, or all of its members if it has fewer.
    """
    order = _after_cut(aum, cut)
    _check_size(n, len(order))
    edges = np.linspace(aum[order].min(), aum[order].max(), bins + 1)[1:-1]
    stratum = np.digitize(aum[order], edges)
    members = sorted((order[stratum == b] for b in np.unique(stratum)), key=len)
    chosen, left = [], n
    for place, group in enumerate(members):
        take = min(len(group), left // (len(members) - place))
        chosen.append(rng.permutation(group)[:take])
        left -= take
    return np.concatenate(chosen)


def overlap(chosen: np.ndarray, reference: np.ndarray) -> float:
    """Share of ``reference`` that ``chosen`` holds too."""
    return len(np.intersect1d(chosen, reference)) / len(reference)


def _after_cut(aum: np.ndarray, cut: float) -> np.ndarray:
    if not 0 <= cut < 1:
        raise ValueError(f"cut: got {cut}, allowed: a number from 0 and below 1")
    return np.argsort(aum, kind="stable")[int(cut * len(aum) + 1e-9) :]


def _check_size(n: int, total: int) -> None:
    if not 1 <= n <= total:
        raise ValueError(f"n: got {n}, allowed: an integer from 1 to {total}")
