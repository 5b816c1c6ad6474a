// exp, tanh and the activations on any vector vocabulary V, with the errors that tests hold them to
// (docs/numerics.md): exp 1e-6 relative, GELU 1e-6 * max(1, |x|).
#pragma once

#include <iterator>

#include "simd/inline.h"
#include "simd/polynomials.h"

namespace bertc::simd {

template <class V, std::size_t kTerms>
BERTC_INLINE typename V::F32 horner(const float (&coefficients)[kTerms], typename V::F32 x) {
  typename V::F32 value = V::set(coefficients[kTerms - 1]);
  unroll<kTerms - 1>([&](auto i) { value = V::fma(value, x, V::set(coefficients[kTerms - 2 - i])); });
  return value;
}

// exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2 in two steps (Cody and Waite), for x <= 88.
// The argument is held to -87, so that the result is a normal number.
template <class V>
BERTC_INLINE typename V::F32 exp_of_negative(typename V::F32 x) {
  x = V::max(x, V::set(-87.0f));
  const typename V::F32 n = V::round(V::mul(x, V::set(1.44269504f)));
  typename V::F32 r = V::fma(n, V::set(-0.693145752f), x);
  r = V::fma(n, V::set(-1.42860677e-6f), r);
  return V::scale_exp2(horner<V>(kExp, r), n);
}

template <class V>
BERTC_INLINE typename V::F32 exp(typename V::F32 x) {
  return exp_of_negative<V>(V::min(x, V::set(88.0f)));
}

// 1 - 2 / (exp(2 x) + 1).
template <class V>
BERTC_INLINE typename V::F32 tanh(typename V::F32 x) {
  const typename V::F32 e = exp<V>(V::add(x, x));
  return V::sub(V::set(1.0f), V::div(V::set(2.0f), V::add(e, V::set(1.0f))));
}

// x Phi(x) with Phi by a polynomial in x^2 (simd/polynomials.h); beyond the limit Phi is constant.
template <class V>
BERTC_INLINE typename V::F32 gelu_by_one_polynomial(typename V::F32 x) {
  constexpr float kLimit = kGeluLimit;
  const typename V::F32 held = V::min(V::max(x, V::set(-kLimit)), V::set(kLimit));
  const typename V::F32 t = V::fma(V::mul(held, held), V::set(2.0f / (kLimit * kLimit)), V::set(-1.0f));
  return V::mul(x, V::fma(held, horner<V>(kNormalCdf, t), V::set(0.5f)));
}

// relu(x) minus a polynomial of degree 4 in |x|, one of 32 by |x|. Adding 1.5 * 2^23 rounds to an
// integer, which is then in the lowest bits.
template <class V>
BERTC_INLINE typename V::F32 gelu_by_pieces(typename V::F32 x) {
  const typename V::F32 held = V::min_abs(x, V::set(kGeluLimit));
  const typename V::F32 rounder = V::set(12582912.0f);
  const typename V::F32 piece = V::fma(held, V::set(kGeluPieces), rounder);
  const typename V::F32 t = V::fma(held, V::set(kGeluPieces), V::sub(rounder, piece));
  constexpr std::size_t kDegree = std::size(kGeluTail) - 1;
  typename V::F32 tail = V::look_up(kGeluTail[kDegree], piece);
  unroll<kDegree>([&](auto i) { tail = V::fma(tail, t, V::look_up(kGeluTail[kDegree - 1 - i], piece)); });
  return V::sub(V::max(V::set(0.0f), x), tail);  // in this order NaN stays NaN
}

// Twenty operations at one or two a cycle are the dearest of an epilogue; with look_up they are half.
template <class V>
BERTC_INLINE typename V::F32 gelu(typename V::F32 x) {
  if constexpr (V::kLooksUp) {
    return gelu_by_pieces<V>(x);
  } else {
    return gelu_by_one_polynomial<V>(x);
  }
}

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
template <class V>
BERTC_INLINE typename V::F32 gelu_tanh(typename V::F32 x) {
  constexpr float kTwiceRoot = 1.5957691216f;
  const typename V::F32 cubic = V::fma(V::mul(x, x), V::set(-kTwiceRoot * 0.044715f), V::set(-kTwiceRoot));
  return V::div(x, V::add(V::set(1.0f), exp<V>(V::mul(x, cubic))));
}

template <class V>
BERTC_INLINE typename V::F32 relu(typename V::F32 x) {
  return V::max(x, V::set(0.0f));
}

// 1 / (1 + exp(-x)).
template <class V>
BERTC_INLINE typename V::F32 sigmoid(typename V::F32 x) {
  return V::div(V::set(1.0f), V::add(V::set(1.0f), exp<V>(V::sub(V::set(0.0f), x))));
}

// x sigmoid(beta x): SiLU with beta 1, the quick GELU with 1.702.
template <class V>
BERTC_INLINE typename V::F32 swish(typename V::F32 x, float beta) {
  return V::div(x, V::add(V::set(1.0f), exp<V>(V::mul(x, V::set(-beta)))));
}

// x tanh(log(1 + e)) = x n / (n + 2), e = exp(x), n = e (e + 2). Beyond 20, where n overflows, it is x.
template <class V>
BERTC_INLINE typename V::F32 mish(typename V::F32 x) {
  const typename V::F32 e = exp<V>(V::min(x, V::set(20.0f)));
  const typename V::F32 n = V::mul(e, V::add(e, V::set(2.0f)));
  return V::mul(x, V::div(n, V::add(n, V::set(2.0f))));
}

// log(1 + max(x, 0)): with 1 + x = 2^n m, log m = 2 atanh(s), s = (m - 1) / (m + 1) in 0..1/3. Absolute
// error 3e-7 or so: 1 + x is rounded. Finite for every number.
template <class V>
BERTC_INLINE typename V::F32 log1p_relu(typename V::F32 x) {
  constexpr float kAtanh[] = {2.0f, 2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9, 2.0f / 11, 2.0f / 13};
  const typename V::F32 z = V::min(V::add(relu<V>(x), V::set(1.0f)), V::set(1e38f));
  const typename V::F32 n = V::exponent(z);
  const typename V::F32 m = V::scale_exp2(z, V::sub(V::set(0.0f), n));
  const typename V::F32 s = V::div(V::sub(m, V::set(1.0f)), V::add(m, V::set(1.0f)));
  return V::fma(n, V::set(0.693147181f), V::mul(s, horner<V>(kAtanh, V::mul(s, s))));
}

}  // namespace bertc::simd
