// Polynomial coefficients for GELU and exp, lowest power first.
// Made by native/tools/fit_polynomials.py; do not edit by hand.
#pragma once

namespace bertc::simd {

// x * P(2 x^2 / limit^2 - 1) + 1/2 is the normal distribution function on |x| <= limit.
// Largest error of x * Phi(x), divided by max(1, |x|): 4.8e-07.
inline constexpr float kGeluLimit = 4.9f;
inline constexpr float kNormalCdf[] = {
    0.14423081f,
    -0.07162298f,
    0.0522464f,
    -0.04055384f,
    0.03092427f,
    -0.022686888f,
    0.015992764f,
    -0.009615985f,
    0.0044293646f,
    -0.0029634433f,
    0.0026651684f,
    -0.0010050202f,
};

// exp(r) on |r| <= ln(2) / 2. Largest relative error: 7.5e-08.
inline constexpr float kExp[] = {
    1.0000001f,
    0.9999997f,
    0.49998894f,
    0.16667575f,
    0.041915383f,
    0.008297655f,
};

}  // namespace bertc::simd
