#include "pgrecast/cli/run_command.h"

#include "pgrecast/cli/plan_json.h"
#include "pgrecast/cli/plan_text.h"
#include "pgrecast/cli/terminal.h"
#include "pgrecast/migration/planning.h"
#include "pgrecast/migration/runner.h"

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <unistd.h>
#include <utility>

namespace pgrecast::cli {
void run(RunCommand command, const std::stop_token& stop) {
  migration::Progress progress;
  std::optional<ProgressBar> bar;
  const bool person = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  command.options.confirm = [&](const migration::PlanReport& report) {
    bar.reset();  // of a migration that is begun anew
    fmt::print("{}\n",
               plan_text(report, {.detailed = false,
                                  .colour = wants_colour(STDOUT_FILENO),
                                  .columns = page_columns(STDOUT_FILENO)}));
    std::fflush(stdout);
    if (person && !command.yes && !confirmed("Go on?", stop)) return false;
    bar.emplace(progress, command.progress);
    return true;
  };
  command.options.on_resume = [&] { bar.emplace(progress, command.progress); };
  migration::Runner runner(command.options, progress, stop);
  runner.run();
  bar.reset();
  fmt::print("{}", summary_text(progress.read()));
}

void plan(const migration::RunOptions& options, bool json,
          const std::stop_token& stop) {
  if (!json) {
    fmt::print("{}", plan_text(migration::plan_migration(options, stop),
                               {.colour = wants_colour(STDOUT_FILENO),
                                .columns = page_columns(STDOUT_FILENO)}));
    return;
  }
  try {
    fmt::print("{}", plan_json(migration::plan_migration(options, stop)));
  } catch (const Refused& refused) {
    fmt::print("{}", plan_json(options.name, refused));
    throw;
  }
}

}  // namespace pgrecast::cli
