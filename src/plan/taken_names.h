#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/taken_name.h"

#include <set>
#include <string>
#include <vector>

// A clone stands in another schema than its source, where the names that the
// server would avoid by hand are free. So those that matter are held there.
namespace pgrecast::plan {

// Names of the clone's constraints, indexes and sequences that something else
// has in the source's schema. What is cloned of `sources` is nothing else;
// `dropped_foreign_keys`, of the source, are gone.
std::set<TakenName> taken_names(
    pg::Connection& connection, catalog::Oid source, catalog::Oid clone,
    const std::vector<catalog::Oid>& sources,
    const std::set<std::string>& dropped_foreign_keys);

// Makes what has the names of `schema` in the schema of its clones; answers
// what that is.
std::vector<catalog::Oid> hold_names(pg::Connection& connection,
                                     const std::set<TakenName>& names,
                                     const std::string& schema,
                                     const std::string& of_clones);

void release_names(pg::Connection& connection,
                   const std::vector<catalog::Oid>& held);

}  // namespace pgrecast::plan
