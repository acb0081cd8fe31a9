#pragma once

// The program's exit codes: an interface, see docs/reference/exit-codes.md.
namespace pgrecast::cli {

enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,
  kUsage = 2,
  kRefused = 3,
  kResumable = 4,
  kCutoverNotAchieved = 5,
  kVerificationFailed = 6,
  kAborted = 7,
  kChangesLost = 8,
  kOutcomeUnknown = 9,
  kDataRejected = 10,
};

// Prints the error that is being handled, with what to do about it, and says
// which code it ends the program with. Only within a catch block.
ExitCode report_current_error();

}  // namespace pgrecast::cli
