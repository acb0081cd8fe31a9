#include "pgrecast/cli/status_command.h"

#include "pgrecast/base/error.h"
#include "pgrecast/cli/lines.h"
#include "pgrecast/cli/status_text.h"
#include "pgrecast/cli/terminal.h"
#include "pgrecast/migration/commands.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <unistd.h>

namespace pgrecast::cli {
namespace {

std::string page_of(const StatusCommand& command, const std::stop_token& stop) {
  const auto all = migration::read_status(command.conninfo, command.name, stop);
  if (command.json) return status_json(all);
  if (command.list || all.empty()) return printable(list_text(all));
  std::string page;
  for (const migration::MigrationStatus& one : all) {
    page += status_text(one, page_columns(STDOUT_FILENO));
  }
  return printable(page);
}

// False where the stop came first.
bool wait_for_a_second(const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, std::chrono::seconds(1),
                                         [] { return false; });
  return !stop.stop_requested();
}

void watch_status(const StatusCommand& command, const std::stop_token& stop) {
  const bool in_place = !command.json && can_redraw(STDOUT_FILENO);
  do {
    const std::string page = page_of(command, stop);
    fmt::print("{}", in_place ? redrawn(page, rows_of(STDOUT_FILENO)) : page);
    std::fflush(stdout);
  } while (wait_for_a_second(stop));
}

}  // namespace

void show_status(const StatusCommand& command, const std::stop_token& stop) {
  if (!command.watch) {
    fmt::print("{}", page_of(command, stop));
    return;
  }
  try {
    watch_status(command, stop);
  } catch (const Stopped&) {  // NOLINT(bugprone-empty-catch): how one ends it
  }
}

}  // namespace pgrecast::cli
