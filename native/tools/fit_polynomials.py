"""Fits the polynomials in ``native/src/simd/polynomials.h``: run it to get that file on stdout.

Minimax fits by Lawson's method: least squares on Chebyshev nodes, reweighted by the error until
the largest error no longer falls. Only NumPy and the standard library.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.polynomial import chebyshev

GELU_LIMIT = 5.4
GELU_DEGREE = 14
EXP_DEGREE = 5

HEADER = """\
// Polynomial coefficients for GELU and exp, lowest power first.
// Made by native/tools/fit_polynomials.py; do not edit by hand.
#pragma once

// clang-format off
namespace bertc::simd {
"""


def lawson(basis: np.ndarray, target: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients that minimize ``max |basis @ c - target| * scale``, and that maximum."""
    weights = np.full(len(target), 1.0 / len(target))
    best, best_error = np.zeros(basis.shape[1]), math.inf
    for _ in range(400):
        root = np.sqrt(weights) * scale
        coefficients = np.linalg.lstsq(basis * root[:, None], target * root, rcond=None)[0]
        error = np.abs(basis @ coefficients - target) * scale
        if error.max() < best_error:
            best, best_error = coefficients, float(error.max())
        weights *= error + 1e-12
        weights /= weights.sum()
    return best, best_error


def fit_normal_cdf() -> tuple[np.ndarray, float]:
    """Phi(x) - 1/2 = x * P(t), t = 2 x^2 / limit^2 - 1, on |x| <= limit; the error is GELU's."""
    t = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    x = GELU_LIMIT * np.sqrt((t + 1) / 2)
    target = np.array([0.5 * math.erf(value / math.sqrt(2)) for value in x])
    basis = chebyshev.chebvander(t, GELU_DEGREE) * x[:, None]
    coefficients, error = lawson(basis, target, np.minimum(x, 1.0))
    return chebyshev.cheb2poly(coefficients), error


def fit_exp() -> tuple[np.ndarray, float]:
    """exp(r) on |r| <= ln(2) / 2, relative error."""
    r = 0.5 * math.log(2) * np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    basis = np.vander(r, EXP_DEGREE + 1, increasing=True)
    return lawson(basis, np.exp(r), np.exp(-r))


def array(name: str, values: np.ndarray) -> str:
    """A C++ array of float literals."""
    numbers = "".join(f"    {np.float32(value)!s}f,\n" for value in values)
    return f"inline constexpr float {name}[] = {{\n{numbers}}};\n"


def main() -> None:
    """Print the header."""
    cdf, cdf_error = fit_normal_cdf()
    exp, exp_error = fit_exp()
    out = sys.stdout
    out.write(HEADER)
    out.write("\n// x * P(2 x^2 / limit^2 - 1) + 1/2 is the normal distribution function on |x| <= limit.\n")
    out.write(f"// Largest error of x * Phi(x), divided by max(1, |x|): {cdf_error:.1e}.\n")
    out.write(f"inline constexpr float kGeluLimit = {GELU_LIMIT}f;\n")
    out.write(array("kNormalCdf", cdf))
    out.write(f"\n// exp(r) on |r| <= ln(2) / 2. Largest relative error: {exp_error:.1e}.\n")
    out.write(array("kExp", exp))
    out.write("\n}  // namespace bertc::simd\n")


if __name__ == "__main__":
    main()
