#include "kernels/embed/embed_template.h"
#include "simd/scalar16.h"

namespace bertc {

void embed_scalar(const Embed& in) { embed::run<simd::Scalar16>(in); }

}  // namespace bertc
