#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/migration/plan_report.h"

#include <string>

namespace pgrecast::cli {

// The plan for programs: docs/reference/plan-json.md, which a test compares.
std::string plan_json(const migration::PlanReport& report);

// The same of a migration that is refused, with the warnings that it has.
std::string plan_json(const std::string& migration, const Refused& refused);

}  // namespace pgrecast::cli
