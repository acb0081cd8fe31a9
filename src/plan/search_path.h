#pragma once

#include "pgrecast/pg/connection.h"

#include <optional>
#include <string>
#include <vector>

namespace pgrecast::plan {

// One more schema behind the others, unless it is there.
void add_schema(std::vector<std::string>& path, const std::string& schema);

// Until the transaction ends, or the savepoint is rolled back. Without schemas:
// nothing is found by its name alone but what is in pg_catalog.
void set_search_path(pg::Connection& connection,
                     const std::vector<std::string>& path);

// One query under `search_path`, as the setting is written; behind it no name
// is found but what is in pg_catalog.
pg::Result ask_under(pg::Connection& connection, const std::string& search_path,
                     const char* query, const std::vector<pg::Param>& params);

// Under it: whether the name alone means
// another relation than one of this schema, or none, as the schema is not in
// the path.
bool is_hidden(pg::Connection& connection, const std::string& schema,
               const std::string& name, const std::string& search_path);

// Whether there is a relation of the name.
bool is_found(pg::Connection& connection,
              const std::optional<std::string>& schema, const std::string& name,
              const std::string& search_path);

}  // namespace pgrecast::plan
