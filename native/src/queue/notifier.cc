#include "queue/notifier.h"

#include <fcntl.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace bertc {

Notifier::Notifier() {
#if defined(__linux__)
  read_ = write_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (read_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
#else
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  for (const int end : ends) {
    fcntl(end, F_SETFL, O_NONBLOCK);
    fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  read_ = ends[0];
  write_ = ends[1];
#endif
}

Notifier::~Notifier() {
  close(read_);
  if (write_ != read_) close(write_);
}

// Fails only where it is readable already (a full pipe, a full counter), which is what it is for.
void Notifier::notify() {
  const uint64_t one = 1;
  while (write(write_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Notifier::clear() {
  uint64_t news[64];
  while (true) {
    const ssize_t count = read(read_, news, sizeof news);
    if (count < 0 && errno == EINTR) continue;
    if (count < static_cast<ssize_t>(sizeof news)) return;
  }
}

}  // namespace bertc
