#include "statements.h"

#include <string>
#include <vector>

namespace pgrecast::script {

// CREATE STATISTICS [IF NOT EXISTS] name [(kinds)] ON .. FROM t
CreateStatistics take_create_statistics(const StatementReader& reader,
                                        const Tree& node) {
  CreateStatistics create;
  create.if_not_exists = flag_field(node, "if_not_exists");
  const Tree& tables = field(node, "relations");
  if (tables.size() != 1 || !has(tables[0], "RangeVar")) {
    reader.refuse(reader.span().begin,
                  "CREATE STATISTICS takes one table behind FROM",
                  "name the table alone");
  }
  const std::size_t name = create.if_not_exists ? 5 : 2;
  create.statistics =
      reader.object_name(name, string_list(field(node, "defnames")));
  create.table = reader.table_name(field(tables[0], "RangeVar"));
  return create;
}

// DROP STATISTICS [IF EXISTS] name [, ...] [CASCADE | RESTRICT]
DropStatistics take_drop_statistics(const StatementReader& reader,
                                    const Tree& node) {
  DropStatistics drop;
  drop.if_exists = flag_field(node, "missing_ok");
  std::size_t at = drop.if_exists ? 4 : 2;
  for (const Tree& object : field(node, "objects")) {
    drop.statistics.push_back(reader.object_name(
        at, string_list(field(field(object, "List"), "items"))));
    at = reader.behind_qualified_name(at) + 1;  // the comma
  }
  return drop;
}

}  // namespace pgrecast::script
