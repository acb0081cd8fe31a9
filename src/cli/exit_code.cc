#include "pgrecast/cli/exit_code.h"

#include "pgrecast/base/error.h"
#include "pgrecast/cli/lines.h"
#include "pgrecast/cli/terminal.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/runner.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/refused_plan.h"
#include "pgrecast/script/script_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace pgrecast::cli {
namespace {

// A line elsewhere, for whoever searches a log; on a terminal as wide as that
// is. What is indented, or not the first line, shows a place in a script.
void tell(std::string_view first, std::string_view text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  if (isatty(STDERR_FILENO) == 0) {
    fmt::print(stderr, "{}{}\n", first, printable(text));
    return;
  }
  fmt::print(stderr, "{}",
             wrapped(first, printable(text.substr(0, end)),
                     page_columns(STDERR_FILENO)));
  if (end < text.size()) {
    fmt::print(stderr, "{}\n", printable(text.substr(end + 1)));
  }
}

ExitCode say(ExitCode code, std::string_view kind, std::string_view message,
             std::string_view next) {
  tell("", fmt::format("pgrecast: {}: {}", kind, message));
  if (!next.empty()) tell("  ", next);
  return code;
}

ExitCode report_refused(const Refused& refused) {
  fmt::print(stderr, "pgrecast: refused, nothing was changed\n");
  for (const Refusal& refusal : refused.refusals()) {
    tell("- ", refusal.what);
    tell("  remedy: ", refusal.remedy);
  }
  const std::vector<std::string> warnings = plan::warnings_of(refused);
  if (warnings.empty()) return ExitCode::kRefused;
  fmt::print(stderr, "Warnings:\n");
  for (const std::string& warning : warnings) tell("! ", warning);
  return ExitCode::kRefused;
}

constexpr std::string_view kResume =
    "the same command resumes where it stopped";

// A right that was taken away, somebody's event trigger or function that
// objects: their rule, and no fault of ours.
bool objects(const pg::SqlError& error) {
  constexpr std::string_view kRaised = "P0001";
  return error.sqlstate() == pg::sqlstate::kInsufficientPrivilege ||
         error.sqlstate() == kRaised;
}

std::string with_hint(const Error& error) {
  const auto* sql = dynamic_cast<const pg::SqlError*>(&error);
  if (sql == nullptr || sql->fields().hint.empty()) return error.what();
  return fmt::format("{}; hint: {}", error.what(), sql->fields().hint);
}

// What is of no kind of its own.
ExitCode report_other(const Error& error) {
  const std::string message = with_hint(error);
  const auto* sql = dynamic_cast<const pg::SqlError*>(&error);
  if (sql != nullptr && objects(*sql)) {
    return say(ExitCode::kRefused, "the server refused a statement", message,
               "grant what is missing, or mend what objects; then the same "
               "command goes on where it stopped");
  }
  switch (error.remedy()) {
    case Remedy::kReconnect:
      return say(ExitCode::kResumable, "connection", message, kResume);
    case Remedy::kRetryTransaction:
      return say(ExitCode::kResumable, "interrupted", message, kResume);
    case Remedy::kAskOperator:
      return say(ExitCode::kOutcomeUnknown, "outcome unknown", message,
                 "look at `pgrecast status` before anything else");
    case Remedy::kFail:
      break;
  }
  return say(ExitCode::kInternal, "internal error", message,
             "please report it; the migration can be resumed or aborted");
}

}  // namespace

ExitCode report_current_error() {
  try {
    throw;
  } catch (const Stopped&) {
    return say(ExitCode::kResumable, "stopped", "on request", kResume);
  } catch (const Refused& error) {
    return report_refused(error);
  } catch (const migration::NotConfirmed& error) {
    return say(ExitCode::kRefused, "not confirmed", error.what(), "");
  } catch (const script::ScriptError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.kind() == script::ScriptProblem::Kind::kSyntax
               ? ExitCode::kUsage
               : ExitCode::kRefused;
  } catch (const UsageError& error) {
    return say(ExitCode::kUsage, "usage", error.what(), "see --help");
  } catch (const migration::Aborted& error) {
    return say(ExitCode::kAborted, "aborted", error.what(), "");
  } catch (const migration::CutoverNotAchieved& error) {
    return say(ExitCode::kCutoverNotAchieved, "not cut over", error.what(),
               "the tables are untouched and stay resumable by the same "
               "command");
  } catch (const migration::VerificationFailed& error) {
    say(ExitCode::kVerificationFailed, "verification failed", error.what(),
        "nothing was exchanged; these rows differ:");
    for (const std::string& difference : error.differences()) {
      fmt::print(stderr, "    {}\n", difference);
    }
    return ExitCode::kVerificationFailed;
  } catch (const copy::DataRejected& error) {
    say(ExitCode::kDataRejected, "data", error.what(),
        "mend these rows, then the same command resumes:");
    for (const std::string& key : error.keys()) {
      fmt::print(stderr, "    {}\n", key);
    }
    return ExitCode::kDataRejected;
  } catch (const ChangesLost& error) {
    return say(ExitCode::kChangesLost, "changes were lost", error.what(),
               "run it again with --repair (verifies everything) or --restart "
               "(copies again)");
  } catch (const pg::CommitInDoubt& error) {
    return say(ExitCode::kOutcomeUnknown, "outcome of a commit unknown",
               error.what(),
               "nothing was touched since; look at `pgrecast status`, then "
               "run the same command");
  } catch (const exchange::ExchangeRefused& error) {
    say(ExitCode::kCutoverNotAchieved, "the exchange was rolled back",
        error.what(), "differences:");
    for (const std::string& difference : error.differences()) {
      fmt::print(stderr, "    {}\n", difference);
    }
    return ExitCode::kCutoverNotAchieved;
  } catch (const migration::SchemaKept& error) {
    return say(ExitCode::kRefused, "not wholly removed", error.what(),
               "move or drop these, then the same command removes the rest");
  } catch (const SourceChanged& error) {
    return say(ExitCode::kRefused, "the source was changed", error.what(),
               error.advice());
  } catch (const OwnershipLost& error) {
    return say(ExitCode::kResumable, "taken over", error.what(), kResume);
  } catch (const StorageError& error) {
    return say(ExitCode::kResumable, "storage", error.what(),
               "mend the disk; then the same command resumes");
  } catch (const Error& error) {
    return report_other(error);
  } catch (const std::exception& error) {
    return say(ExitCode::kInternal, "internal error", error.what(),
               "please report it; the migration can be resumed or aborted");
  }
}

}  // namespace pgrecast::cli
