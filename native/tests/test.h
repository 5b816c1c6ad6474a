// A test is a function that throws; main.cc runs them all.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace bertc::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void check(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

// For messages: "12 threads".
inline std::string count(std::size_t number, const char* of) { return std::to_string(number) + " " + of; }

}  // namespace bertc::test

#define BERTC_TEST(name)                                           \
  static void name();                                              \
  static const bertc::test::Registration name##_row_(#name, name); \
  static void name()
