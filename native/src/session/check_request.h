// Checks of what a caller passes to a session: nothing may read beyond a table.
#pragma once

#include "session/session.h"

namespace bertc {

// Throws Error (kInput) that names the first bad element.
void check_request(const RunRequest& request, const IdLimits& limits);

}  // namespace bertc
