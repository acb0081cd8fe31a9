#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/migration/progress.h"

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace pgrecast::migration {

// An operator asked for it, and it is done: everything is as before `run`.
class Aborted : public Error {
 public:
  explicit Aborted(const std::string& by)
      : Error("aborted by " + by + "; everything is as it was before",
              Remedy::kFail) {}
};

// Not within its attempts (exit 5): still in step, nothing has happened.
class CutoverNotAchieved : public Error {
 public:
  explicit CutoverNotAchieved(const std::string& message)
      : Error(message, Remedy::kFail) {}
};

// confirm() said no, before anything was made (exit 3).
class NotConfirmed : public Error {
 public:
  NotConfirmed() : Error("nothing was made", Remedy::kFail) {}
};

// Rows differ again and again although their keys were not dirty (exit 6).
class VerificationFailed : public Error {
 public:
  VerificationFailed(const std::string& message,
                     std::vector<std::string> differences)
      : Error(message, Remedy::kFail), differences_(std::move(differences)) {}

  const std::vector<std::string>& differences() const { return differences_; }

 private:
  std::vector<std::string> differences_;
};

// Runs one migration from where it stands to its end: `pgrecast run`.
//
// Belongs to one thread; starts others and joins them before run() returns or
// throws. `progress` outlives it.
class Runner {
 public:
  Runner(RunOptions options, Progress& progress, std::stop_token stop);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  // Returns when the migration is done; `progress` holds the summary then.
  //
  // Throws Refused, NotConfirmed, Stopped (resumable),
  // Aborted, CutoverNotAchieved, VerificationFailed, copy::DataRejected,
  // ChangesLost, OwnershipLost, SourceChanged, pg::CommitInDoubt, and what the
  // server and the disk throw; all but the first two leave a migration that the
  // same command resumes, or that `abort` undoes.
  void run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgrecast::migration
