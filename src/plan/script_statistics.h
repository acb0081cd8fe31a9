#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/script/statement.h"

#include <optional>
#include <string>

// Extended statistics that a script names. `search_path` is the one under which
// the script runs.
namespace pgrecast::plan {

// Of the table, as the name is understood there; their schema is their own.
std::optional<catalog::QualifiedName> find_statistics(
    pg::Connection& connection, catalog::Oid table,
    const script::ObjectName& name, const std::string& search_path);

// Whether the name means some that are on none of the tables, an array of OIDs.
bool are_on_others(pg::Connection& connection, const std::string& tables,
                   const script::ObjectName& name,
                   const std::string& search_path);

// The schema into which the statement would put them by hand.
std::string schema_of_new_statistics(pg::Connection& connection,
                                     const script::ObjectName& name,
                                     const std::string& search_path);

// Whether the table has any.
bool has_statistics(pg::Connection& connection, catalog::Oid table);

// Whether there are any of that name.
bool are_there(pg::Connection& connection, const catalog::QualifiedName& name);

}  // namespace pgrecast::plan
