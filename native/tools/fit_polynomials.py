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
TAIL_PIECES = 32
TAIL_DEGREE = 4
EXP_DEGREE = 5

HEADER = """\
// Polynomial coefficients for GELU and exp, lowest power first.
// Made by native/tools/fit_polynomials.py; do not edit by hand.
#pragma once

#include <cstdint>

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


def fit_gelu_tail() -> tuple[np.ndarray, float]:
    """relu(x) - GELU(x) = a (1 - Phi(a)), a = |x|: a polynomial in a / h - k around each k h, k < 32.

    Coefficients [degree + 1, pieces]. Beyond the last piece the argument is held at its end, where
    the function is 2e-7.
    """
    t = 0.5 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    basis = np.vander(t, TAIL_DEGREE + 1, increasing=True)
    fits, errors = [], []
    for piece in range(TAIL_PIECES):
        a = np.abs(piece + t) * GELU_LIMIT / (TAIL_PIECES - 0.51)
        target = np.array([0.5 * value * math.erfc(value / math.sqrt(2)) for value in a])
        inside = (piece + t) >= 0
        coefficients, error = lawson(basis[inside], target[inside], np.ones(inside.sum()))
        fits.append(coefficients)
        errors.append(error)
    return np.array(fits).T, max(errors)


def fit_exp() -> tuple[np.ndarray, float]:
    """exp(r) on |r| <= ln(2) / 2, relative error."""
    r = 0.5 * math.log(2) * np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    basis = np.vander(r, EXP_DEGREE + 1, increasing=True)
    return lawson(basis, np.exp(r), np.exp(-r))


def bf16_exp2_table() -> tuple[np.ndarray, float]:
    """What integers k lack to the bits of the bf16 number ``2^(k / 128)``, by ``k % 128 // 2``.

    Returns also the largest relative error, with k an exponent that was rounded.
    """
    step = np.arange(128)
    lacking = 128 * np.exp2(step / 128) - 128 - step
    table = np.rint(lacking.reshape(64, 2).mean(axis=1)).astype(int)
    table[0] = 0  # so that 2^0 is 1
    found = 1 + (step + np.repeat(table, 2)) / 128
    errors = [found / np.exp2((step + rounding) / 128) - 1 for rounding in (-0.5, 0.5)]
    return table, float(np.abs(errors).max())


def array(name: str, values: np.ndarray) -> str:
    """A C++ array of float literals."""
    numbers = "".join(f"    {np.float32(value)!s}f,\n" for value in values)
    return f"inline constexpr float {name}[] = {{\n{numbers}}};\n"


def table(name: str, rows: np.ndarray) -> str:
    """A C++ array of arrays of float literals, aligned to a cache line."""
    lines = "".join("    {" + ", ".join(f"{np.float32(v)!s}f" for v in row) + "},\n" for row in rows)
    return f"alignas(64) inline constexpr float {name}[{len(rows)}][{len(rows[0])}] = {{\n{lines}}};\n"


def main() -> None:
    """Print the header."""
    cdf, cdf_error = fit_normal_cdf()
    tail, tail_error = fit_gelu_tail()
    exp, exp_error = fit_exp()
    out = sys.stdout
    out.write(HEADER)
    out.write("\n// x * P(2 x^2 / limit^2 - 1) + 1/2 is the normal distribution function on |x| <= limit.\n")
    out.write(f"// Largest error of x * Phi(x), divided by max(1, |x|): {cdf_error:.1e}.\n")
    out.write(f"inline constexpr float kGeluLimit = {GELU_LIMIT}f;\n")
    out.write(array("kNormalCdf", cdf))
    out.write("\n// relu(x) - GELU(x) by the nearest multiple k of the width h to |x|: row i holds the\n")
    out.write(f"// coefficients of (|x| / h - k)^i for the 32 pieces. Largest error: {tail_error:.1e}.\n")
    out.write(f"inline constexpr float kGeluPieces = {(TAIL_PIECES - 0.51) / GELU_LIMIT:.6f}f;  // 1 / h\n")
    out.write(table("kGeluTail", tail))
    out.write(f"\n// exp(r) on |r| <= ln(2) / 2. Largest relative error: {exp_error:.1e}.\n")
    out.write(array("kExp", exp))
    offsets, offset_error = bf16_exp2_table()
    out.write("\n// Plus an integer k <= 0, by bits 1 to 6 of k: the bits of the bf16 number 2^(k / 128).\n")
    out.write(f"// Largest relative error where k was rounded: {offset_error:.1e}.\n")
    numbers = ", ".join(str(value) for value in offsets)
    out.write(f"alignas(64) inline constexpr int16_t kExp2Bf16[64] = {{{numbers}}};\n")
    out.write("\n}  // namespace bertc::simd\n")


if __name__ == "__main__":
    main()
