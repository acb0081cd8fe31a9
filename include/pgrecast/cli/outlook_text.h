#pragma once

#include "pgrecast/migration/plan_report.h"

#include <string>

namespace pgrecast::cli {

// What the migration needs of the disks, and what is in its way right now:
// parts of a plan for people (plan_text.h).
std::string outlook_text(const migration::PlanReport& report);

}  // namespace pgrecast::cli
