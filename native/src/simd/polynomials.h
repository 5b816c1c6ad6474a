// Polynomial coefficients for GELU and exp, lowest power first.
// Made by native/tools/fit_polynomials.py; do not edit by hand.
#pragma once

// clang-format off
namespace bertc::simd {

// x * P(2 x^2 / limit^2 - 1) + 1/2 is the normal distribution function on |x| <= limit.
// Largest error of x * Phi(x), divided by max(1, |x|): 2.4e-08.
inline constexpr float kGeluLimit = 5.4f;
inline constexpr float kNormalCdf[] = {
    0.13092811f,
    -0.06532804f,
    0.04849956f,
    -0.039207343f,
    0.03211738f,
    -0.025741149f,
    0.019638315f,
    -0.013985591f,
    0.009677789f,
    -0.0066706436f,
    0.003607906f,
    -0.0012288806f,
    0.0009220009f,
    -0.0010130283f,
    0.0003762014f,
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
