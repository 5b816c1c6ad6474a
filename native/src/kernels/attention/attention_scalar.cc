#include "kernels/attention/attention_template.h"
#include "simd/scalar16.h"

namespace bertc {

void attention_f32_scalar(const Attention& attention) {
  attention::run<simd::Scalar16, simd::Scalar16::DotF32>(attention);
}

}  // namespace bertc
