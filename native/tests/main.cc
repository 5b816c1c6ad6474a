// Runs all tests, or those whose name holds the first argument; exits with 1 if one fails.
#include <cstring>
#include <exception>
#include <iostream>

#include "test.h"

int main(int argc, char** argv) {
  std::size_t run = 0, failed = 0;
  for (const bertc::test::Test& test : bertc::test::tests()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    ++run;
    try {
      test.run();
    } catch (const std::exception& error) {
      ++failed;
      std::cout << "FAILED " << test.name << ": " << error.what() << "\n";
    }
  }
  std::cout << run - failed << " of " << run << " tests passed\n";
  return failed != 0 || run == 0;
}
