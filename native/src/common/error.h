// The one exception of the native core; the Python layer turns it into bertc.BertcError's family.
#pragma once

#include <stdexcept>
#include <string>

namespace bertc {

enum class ErrorKind {
  kInput,    // what the caller passed: bertc.InputError
  kProgram,  // what the artifact says: bertc.ArtifactError
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace bertc
