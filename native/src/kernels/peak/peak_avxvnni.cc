#include "kernels/peak/peak_template.h"
#include "simd/avxvnni.h"

namespace bertc {

std::size_t peak_int8_avxvnni(std::size_t iterations) {
  return peak::run<simd::AvxVnni::DotInt8>(iterations);
}

}  // namespace bertc
