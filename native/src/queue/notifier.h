// A file descriptor that becomes readable when there is news: how a thread without a GIL wakes an event loop.
#pragma once

namespace bertc {

class Notifier {
 public:
  Notifier();
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Readable from a notify() to the next clear().
  int descriptor() const { return read_; }
  void notify();
  void clear();

 private:
  int read_ = -1, write_ = -1;  // the same, for an eventfd
};

}  // namespace bertc
