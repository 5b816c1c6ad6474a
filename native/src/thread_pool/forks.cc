#include "thread_pool/forks.h"

#include <pthread.h>

#include <atomic>
#include <new>

namespace bertc {
namespace {

std::atomic<uint64_t> forks{0};

// When the library is loaded, so that no fork can come in between.
const int kFailure = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });

}  // namespace

uint64_t fork_count() {
  if (kFailure != 0) throw std::bad_alloc();  // the only way that it can fail
  return forks.load();
}

}  // namespace bertc
