#include "statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgrecast::script {
namespace {

bool is_serial(const Tree& column) {
  constexpr std::array<std::string_view, 6> kNames{
      "serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"};
  const std::vector<std::string> names =
      string_list(field(field(column, "typeName"), "names"));
  return names.size() == 1 &&
         std::find(kNames.begin(), kNames.end(), names[0]) != kNames.end();
}

void refuse_foreign_key(const StatementReader& reader, const Tree& item) {
  const Tree& constraint = field(item, "Constraint");
  if (!is_foreign_key(constraint)) return;
  reader.refuse(location(constraint).value_or(reader.span().begin),
                "CREATE TABLE says nothing of foreign keys: those that there "
                "are stay",
                "add it behind, with ALTER TABLE .. ADD FOREIGN KEY");
}

void check_element(const StatementReader& reader, const Tree& element) {
  refuse_foreign_key(reader, element);
  if (has(element, "TableLikeClause")) {
    reader.refuse(location(field(field(element, "TableLikeClause"), "relation"))
                      .value_or(reader.span().begin),
                  "LIKE takes its columns from another table",
                  "write the columns out");
  }
  const Tree& column = field(element, "ColumnDef");
  if (column.is_null()) return;
  if (is_serial(column)) {
    reader.refuse(
        location(column).value_or(reader.span().begin),
        fmt::format("column {} would get a new sequence, which "
                    "begins at 1",
                    text_field(column, "colname")),
        "write its type, and DEFAULT nextval(..) of the sequence that "
        "there is");
  }
  for (const Tree& constraint : field(column, "constraints")) {
    refuse_foreign_key(reader, constraint);
  }
}

void refuse_kinds(const StatementReader& reader, const Tree& node) {
  const std::size_t begin = reader.span().begin;
  if (text_field(field(node, "relation"), "relpersistence") != "p") {
    reader.refuse(begin, "the new table is temporary or unlogged",
                  "leave that word out");
  }
  if (flag_field(node, "if_not_exists")) {
    reader.refuse(begin, "IF NOT EXISTS would make nothing",
                  "leave IF NOT EXISTS out");
  }
  if (has(node, "ofTypename")) {
    reader.refuse(begin, "CREATE TABLE .. OF makes a typed table",
                  "write the columns out");
  }
  const std::string on_commit = text_field(node, "oncommit");
  if (!on_commit.empty() && on_commit != "ONCOMMIT_NOOP") {
    reader.refuse(begin, "ON COMMIT is for temporary tables", "leave it out");
  }
}

CreatePartition take_partition(const StatementReader& reader,
                               const Tree& node) {
  CreatePartition partition;
  partition.partition = reader.table_name(field(node, "relation"));
  partition.parent =
      reader.table_name(field(field(node, "inhRelations").at(0), "RangeVar"));
  if (has(node, "tableElts")) {
    reader.refuse(reader.span().begin,
                  "the partition has columns or constraints of its own",
                  "leave the list out: they are those of the whole table");
  }
  return partition;
}

}  // namespace

StatementBody take_create_table(const StatementReader& reader,
                                const Tree& node) {
  refuse_kinds(reader, node);
  if (has(node, "partbound")) return take_partition(reader, node);
  if (has(node, "inhRelations")) {
    reader.refuse(reader.span().begin, "the new table inherits from another",
                  "write the columns out");
  }
  CreateTable create;
  create.table = reader.table_name(field(node, "relation"));
  for (const Tree& element : field(node, "tableElts")) {
    check_element(reader, element);
  }
  return create;
}

}  // namespace pgrecast::script
