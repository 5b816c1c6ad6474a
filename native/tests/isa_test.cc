// Which instruction set a processor gets, told by its features alone.
#include "kernels/isa.h"

#include "common/error.h"
#include "test.h"

namespace bertc {
namespace {

using test::check;

constexpr Features kAll = needs::kAvx512Bf16;

BERTC_TEST(the_last_set_whose_features_are_all_there_is_chosen) {
  check(choose_isa("", 0).name == "scalar", "nothing: scalar");
  check(choose_isa("", feature::kAvx2).name == "avx2", "AVX2: avx2");
  check(choose_isa("", needs::kAvx512).name == "avx512_vnni", "AVX-512 and VNNI: avx512_vnni");
  check(choose_isa("", kAll).name == "avx512_bf16", "all: avx512_bf16");
}

BERTC_TEST(features_are_a_set_and_no_ladder) {
  check(choose_isa("", kAll & ~feature::kAvx512Vnni).name == "avx2", "bf16 without VNNI: avx2");
  check(choose_isa("", needs::kAvxVnni).name == "avx_vnni", "VNNI in 256 bits alone: avx_vnni");
  check(choose_isa("", kAll | feature::kAvxVnni).name == "avx512_bf16", "both: the wider one");
  check(choose_isa("", kAll & ~feature::kAvx2).name == "scalar", "no AVX2: scalar");
}

BERTC_TEST(a_lower_set_may_be_asked_for_and_no_other) {
  check(choose_isa("avx2", kAll).name == "avx2", "avx2 where all is there");
  bool refused = false;
  try {
    choose_isa("avx512_vnni", feature::kAvx2);
  } catch (const Error&) {
    refused = true;
  }
  check(refused, "avx512_vnni on a processor with AVX2 alone");
}

}  // namespace
}  // namespace bertc
