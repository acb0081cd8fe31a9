#pragma once

#include "pgrecast/plan/plan.h"

#include <string>

namespace pgrecast::cli {

// The plan for people: what changes, and what will be made on the way.
std::string plan_text(const plan::Plan& plan);

}  // namespace pgrecast::cli
