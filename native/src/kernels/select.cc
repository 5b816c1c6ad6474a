#include <type_traits>

#include "kernels/kernels.h"

namespace bertc {

#define BERTC_KERNEL(name, type, needed, function) std::remove_pointer_t<type> function;
#include "kernels/kernels.inc"
#undef BERTC_KERNEL

Kernels select_kernels(const Isa& isa) {
  Kernels kernels;
  kernels.isa = isa;
#define BERTC_KERNEL(name, type, needed, function) \
  if (has_all(isa.features, needed)) kernels.name = function;
#include "kernels/kernels.inc"
#undef BERTC_KERNEL
  return kernels;
}

}  // namespace bertc
