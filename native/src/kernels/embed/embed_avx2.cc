#include "kernels/embed/embed_template.h"
#include "simd/avx2.h"

namespace bertc {

void embed_avx2(const Embed& in) { embed::run<simd::Avx2>(in); }

}  // namespace bertc
