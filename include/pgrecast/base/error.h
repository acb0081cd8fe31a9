#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast {

// What to do about an error. Code that handles errors decides by this alone.
enum class Remedy {
  kRetryTransaction,  // Rolled back; the same work may succeed now.
  kReconnect,         // The connection is gone; open another and resume.
  kFail,              // Nothing to retry: stop, and keep the state.
  kAskOperator,       // The outcome is unknown; retrying could do it twice.
};

// Whatever the outside world does to us. Our own mistakes are assertions
// (assert.h), and outcomes of normal work are return values.
class Error : public std::runtime_error {
 public:
  Error(const std::string& message, Remedy remedy)
      : std::runtime_error(message), remedy_(remedy) {}

  Remedy remedy() const { return remedy_; }

 private:
  Remedy remedy_;
};

// The server sent, or a file of ours holds, bytes that are none of the format.
class ProtocolError : public Error {
 public:
  explicit ProtocolError(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// The disk below the change buffer failed, is full, or holds something else.
class StorageError : public Error {
 public:
  explicit StorageError(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// The operator asked for something impossible or misspelt (exit 2).
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// One thing that stands in the way of a migration, and what would remove it.
struct Refusal {
  std::string what;    // one sentence: names the object and the reason
  std::string remedy;  // one sentence: what the operator can do
};

// The plan refuses, before anything was touched (exit 3). Holds every reason
// that was found, not only the first.
class Refused : public Error {
 public:
  explicit Refused(std::vector<Refusal> refusals);
  Refused(std::string what, std::string remedy)
      : Refused(std::vector{Refusal{std::move(what), std::move(remedy)}}) {}

  const std::vector<Refusal>& refusals() const { return refusals_; }

 private:
  std::vector<Refusal> refusals_;
};

// Changes of the source were lost, or may have been: the slot or the change
// buffer is gone, or the server is another one (exit 8).
class ChangesLost : public Error {
 public:
  explicit ChangesLost(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// Another session owns the migration, or took it over from us (exit 4: the
// same command may be tried again when that one is done).
class OwnershipLost : public Error {
 public:
  explicit OwnershipLost(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// The source is no longer the table that the migration was planned for: a
// clean stop that names the change. `advice` is what the operator can do.
class SourceChanged : public Error {
 public:
  explicit SourceChanged(const std::string& message,
                         std::string advice =
                             "undo that change and run the same command, or "
                             "`pgrecast abort` and begin anew")
      : Error(message, Remedy::kFail), advice_(std::move(advice)) {}

  const std::string& advice() const { return advice_; }

 private:
  std::string advice_;
};

// A wait reached its deadline. `what` names what was waited for.
class TimedOut : public Error {
 public:
  explicit TimedOut(const std::string& what)
      : Error(what, Remedy::kRetryTransaction) {}
};

// Not an error: unwinds a thread after a stop request. Thrown by everything
// that waits with a stop token.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped"; }
};

}  // namespace pgrecast
