#include "kernels/embed/embed_template.h"
#include "simd/avx512.h"

namespace bertc {

void embed_avx512(const Embed& in) { embed::run<simd::Avx512>(in); }

}  // namespace bertc
