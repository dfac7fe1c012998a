"""Binomial tails and Clopper-Pearson bounds, without SciPy: the core routes and certifies with NumPy alone.

The tail is the regularised incomplete beta function, by Lentz's continued fraction (Press et al., Numerical Recipes
6.4), good to about twelve digits; the bounds invert it by bisection (Clopper and Pearson 1934).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, lgamma, log, log1p

_STEPS = 10_000
_TINY = 1e-300
_EPSILON = 1e-15


def cdf(wrong: int, of: int, error: float) -> float:
    """P(X <= wrong) for X ~ Binomial(of, error)."""
    if wrong < 0:
        return 0.0
    if wrong >= of or error <= 0.0:
        return 1.0
    if error >= 1.0:
        return 0.0
    return incomplete_beta(of - wrong, wrong + 1, 1.0 - error)


def upper(wrong: int, of: int, confidence: float = 0.95) -> float:
    """The least error that makes `wrong` or fewer of `of` less likely than 1 - confidence; 1 where nothing was seen."""
    if of == 0 or wrong >= of:
        return 1.0
    return _inverted(lambda error: cdf(wrong, of, error) > 1.0 - confidence)


def lower(wrong: int, of: int, confidence: float = 0.95) -> float:
    """The greatest error that makes `wrong` or more of `of` less likely than 1 - confidence."""
    if of == 0 or wrong == 0:
        return 0.0
    return _inverted(lambda error: 1.0 - cdf(wrong - 1, of, error) < 1.0 - confidence)


def needed(max_error: float, confidence: float) -> int:
    """How many labels without any error it takes at least: the least n with (1 - max_error)^n <= 1 - confidence."""
    return ceil(log(1.0 - confidence) / log1p(-max_error))


def _inverted(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return high


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d, c = 1.0 / _nonzero(1.0 + even * d), _nonzero(1.0 + even / c)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d, c = 1.0 / _nonzero(1.0 + odd * d), _nonzero(1.0 + odd / c)
        fraction *= d * c
        if abs(d * c - 1.0) < _EPSILON:
            break
    return fraction


def _nonzero(value: float) -> float:
    """A value that the fraction can be divided by."""
    return value if abs(value) > _TINY else _TINY
