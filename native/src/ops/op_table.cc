#include "ops/op.h"

namespace bertc {

#define BERTC_OP(name) std::unique_ptr<Op> make_##name(Binder& binder, const Kernels& kernels);
#include "ops/ops.inc"
#undef BERTC_OP

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> kTable = {
#define BERTC_OP(name) {#name, make_##name},
#include "ops/ops.inc"
#undef BERTC_OP
  };
  return kTable;
}

}  // namespace bertc
