// When small calls go alone, and when they are shared again.
#include "session/sharing_policy.h"

#include "test.h"

namespace bertc {
namespace {

using test::check;
using test::count;

std::size_t alone_after_stall(SharingPolicy& policy) {
  policy.report(900, 1000);
  std::size_t alone = 0;
  while (!policy.shares()) ++alone;
  return alone;
}

BERTC_TEST(calls_that_went_well_are_shared) {
  SharingPolicy policy;
  for (int call = 0; call < 1000; ++call) {
    check(policy.shares(), count(call, "calls went well before it"));
    policy.report(100, 1000);
  }
}

BERTC_TEST(a_wait_among_many_good_calls_is_no_reason_to_go_alone) {
  SharingPolicy policy;
  for (int call = 0; call < 1000; ++call) {
    check(policy.shares(), count(call, "calls came before it"));
    const bool held_up = call % 40 == 39;
    policy.report(held_up ? 3000 : 0, held_up ? 4000 : 1000);
  }
}

BERTC_TEST(calls_go_alone_for_longer_each_time_that_others_held_them_up) {
  SharingPolicy policy;
  for (const std::size_t expected : {4, 16, 64, 256, 1024, 1024}) {
    const std::size_t alone = alone_after_stall(policy);
    check(alone == expected, count(alone, "calls went alone"));
  }
  policy.report(0, 1000);
  check(alone_after_stall(policy) == 1024, "a good call changes nothing");
  for (int call = 0; call < 64; ++call) policy.report(0, 1000);
  policy.report(90000, 91000);
  check(!policy.shares(), "a wait as long as all of them is a reason");
  std::size_t alone = 1;
  while (!policy.shares()) ++alone;
  check(alone == 4, count(alone, "calls went alone after many good ones"));
}

}  // namespace
}  // namespace bertc
