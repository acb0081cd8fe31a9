#pragma once

#include "pgrecast/migration/plan_report.h"

#include <string>

namespace pgrecast::cli {

struct PlanStyle {
  // All of it; else what a person needs for deciding, without DDL and the like.
  bool detailed = true;
  bool colour = false;
};

// The plan for people, kColumns wide, the most important first. What the server
// or the script calls things is printed without control characters.
std::string plan_text(const migration::PlanReport& report,
                      const PlanStyle& style = {});

// A terminal that has colours, and a person who wants them: not under NO_COLOR
// (https://no-color.org) or TERM=dumb.
bool wants_colour(int file);

}  // namespace pgrecast::cli
