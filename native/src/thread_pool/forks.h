// How often this process was forked off: threads and locks of before are not there any more.
#pragma once

#include <cstdint>

namespace bertc {

// One more in each child than in its parent. A process id would not do: systems use them again.
uint64_t fork_count();

}  // namespace bertc
