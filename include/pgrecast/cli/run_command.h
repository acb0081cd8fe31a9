#pragma once

#include "pgrecast/cli/progress_bar.h"
#include "pgrecast/migration/options.h"

#include <stop_token>
#include <string>

namespace pgrecast::cli {

struct RunCommand {
  migration::RunOptions options;
  ProgressMode progress = ProgressMode::kAuto;
  bool yes = false;
};

// `pgrecast run`: shows the plan, asks where a person is there to answer, runs,
// and prints the summary. Throws what migration::Runner throws.
void run(RunCommand command, const std::stop_token& stop);

// `pgrecast plan`: prints it, changes nothing. Refusals are thrown, and as JSON
// printed, too.
void plan(const migration::RunOptions& options, bool json,
          const std::stop_token& stop);

}  // namespace pgrecast::cli
