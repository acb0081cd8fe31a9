#pragma once

#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <string>
#include <vector>

// Foreign keys that the script adds, between the plan and the exchange.
namespace pgrecast::plan {

// A query of the shadow's rows `s` for which `condition` holds, and which refer
// to a row that `referenced`, as FROM names it, does not have: their key, and
// what they refer to, as a person reads them.
std::string unmatched_rows(const TableTarget& target,
                           const AddedForeignKey& key,
                           const std::string& referenced,
                           const std::string& condition);

// Why foreign keys that refer to other tables than those of the migration
// cannot be made any more, a line each: what was there when they were planned
// is gone.
std::vector<std::string> lost_references(
    pg::Connection& connection, const std::vector<const TableTarget*>& targets);

}  // namespace pgrecast::plan
