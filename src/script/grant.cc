#include "statements.h"

#include <string>

namespace pgrecast::script {

// GRANT privileges ON [TABLE] t TO ..; REVOKE privileges ON [TABLE] t FROM ..
ChangeGrants take_grant(const StatementReader& reader, const Tree& node) {
  const bool of_tables = text_field(node, "targtype") == "ACL_TARGET_OBJECT" &&
                         text_field(node, "objtype") == "OBJECT_TABLE";
  if (!of_tables) {
    reader.refuse(reader.span().begin,
                  "GRANT and REVOKE are supported for tables and columns only",
                  "take it out of the script, and run it by hand before or "
                  "after the migration");
  }
  const Tree& tables = field(node, "objects");
  if (tables.size() > 1) {
    reader.refuse(
        location(field(tables[1], "RangeVar")).value_or(reader.span().begin),
        "several tables are named at once",
        "write one statement for each table");
  }
  if (has(node, "grantor")) {
    reader.refuse(
        location(field(node, "grantor")).value_or(reader.span().begin),
        "GRANTED BY names who grants, which is the table's owner",
        "leave GRANTED BY out");
  }
  return {.table = reader.table_name(field(tables.at(0), "RangeVar"))};
}

}  // namespace pgrecast::script
