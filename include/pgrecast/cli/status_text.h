#pragma once

#include "pgrecast/cli/lines.h"
#include "pgrecast/migration/commands.h"

#include <cstddef>
#include <string>
#include <vector>

namespace pgrecast::cli {

// For people: one migration in full.
std::string status_text(const migration::MigrationStatus& status,
                        std::size_t columns = kColumns);
// A line each.
std::string list_text(const std::vector<migration::MigrationStatus>& all);
// {"version", "migrations"}, documented in docs/reference/status-json.md.
std::string status_json(const std::vector<migration::MigrationStatus>& all);

}  // namespace pgrecast::cli
