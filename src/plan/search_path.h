#pragma once

#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::plan {

// One more schema behind the others, unless it is there.
void add_schema(std::vector<std::string>& path, const std::string& schema);

// Until the transaction ends, or the savepoint is rolled back. Without schemas:
// nothing is found by its name alone but what is in pg_catalog.
void set_search_path(pg::Connection& connection,
                     const std::vector<std::string>& path);

}  // namespace pgrecast::plan
