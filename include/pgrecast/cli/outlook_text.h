#pragma once

#include "pgrecast/cli/lines.h"
#include "pgrecast/migration/plan_report.h"

#include <cstddef>
#include <string>

namespace pgrecast::cli {

// What the migration needs of the disks, and what is in its way right now:
// parts of a plan for people (plan_text.h).
std::string outlook_text(const migration::PlanReport& report,
                         std::size_t columns = kColumns);

}  // namespace pgrecast::cli
