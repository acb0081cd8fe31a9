#pragma once

#include "pgrecast/cli/lines.h"
#include "pgrecast/migration/plan_report.h"

#include <cstddef>
#include <string>

namespace pgrecast::cli {

struct PlanStyle {
  // All of it; else what a person needs for deciding, without DDL and the like.
  bool detailed = true;
  bool colour = false;
  std::size_t columns = kColumns;
};

// The plan for people, the most important first. What the server
// or the script calls things is printed without control characters.
std::string plan_text(const migration::PlanReport& report,
                      const PlanStyle& style = {});

}  // namespace pgrecast::cli
