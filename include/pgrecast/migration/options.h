#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/migration/plan_report.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pgrecast::migration {

// When to cut over once a migration is ready.
enum class CutoverPolicy {
  kAuto,    // at once
  kManual,  // when `pgrecast cutover NAME` says so
};

struct RunOptions {
  std::string conninfo;
  std::string script;
  std::string script_file;
  std::string name;
  std::filesystem::path state_dir;
  int workers = 2;
  CutoverPolicy cutover = CutoverPolicy::kAuto;
  milliseconds lock_timeout{300};
  milliseconds cutover_budget{2000};
  int cutover_attempts = 20;
  // WAL that our slot may keep on the server; beyond it, the slot is dropped.
  std::int64_t retained_max = std::int64_t{10} << 30U;
  bool verify = true;
  std::vector<std::string> assume_immutable;  // functions; see FoldRules
  bool restart = false;
  bool repair = false;
  // Shows the plan of a migration that is about to begin; false: do not.
  std::function<bool(const PlanReport&)> confirm;
  // Called before the first step of a migration that is resumed.
  std::function<void()> on_resume;
};

// The endpoint of a migration's sessions: application_name begins with the
// migration's name and the slot's hash, which no other migration shares.
pg::Endpoint endpoint_of(const std::string& conninfo, const plan::Names& names);

}  // namespace pgrecast::migration
