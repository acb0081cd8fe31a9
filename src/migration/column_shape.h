#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::migration {

// A column in the words of SQL.
struct ColumnShape {
  std::string name;
  std::string definition;            // as in CREATE TABLE, without the name
  std::vector<std::string> altered;  // what only ALTER COLUMN can say: SET ..
  std::string quoted;                // its name, as the server quotes it
};

// In the table's order, read with an empty search_path.
std::vector<ColumnShape> read_column_shapes(pg::Connection& connection,
                                            catalog::Oid table);

}  // namespace pgrecast::migration
