#include "statements.h"

#include <string>
#include <utility>
#include <vector>

namespace pgrecast::script {
namespace {

// Behind COMMENT ON and the kind of object.
constexpr std::size_t kNameAt = 3;

CommentOnTable on_column(const StatementReader& reader,
                         std::vector<std::string> parts) {
  if (parts.size() < 2) {
    reader.refuse(reader.offset(kNameAt), "the column is named without a table",
                  "write table.column");
  }
  CommentOnTable comment;
  comment.part = CommentOnTable::Part::kColumn;
  comment.name = std::move(parts.back());
  parts.pop_back();
  std::size_t last = kNameAt;
  while (reader.is(reader.behind_name(last), ".")) {
    last = reader.behind_name(last) + 1;
  }
  comment.table = reader.table_name(kNameAt, last - 1, std::move(parts));
  return comment;
}

// COMMENT ON CONSTRAINT name ON table
CommentOnTable on_constraint(const StatementReader& reader,
                             std::vector<std::string> parts) {
  CommentOnTable comment;
  comment.part = CommentOnTable::Part::kConstraint;
  comment.name = std::move(parts.back());
  parts.pop_back();
  const std::size_t table = reader.behind_name(kNameAt) + 1;
  comment.table = reader.table_name(table, reader.behind_qualified_name(table),
                                    std::move(parts));
  return comment;
}

}  // namespace

StatementBody take_comment(const StatementReader& reader, const Tree& node) {
  const std::string kind = text_field(node, "objtype");
  std::vector<std::string> parts =
      string_list(field(field(field(node, "object"), "List"), "items"));
  if (kind == "OBJECT_TABLE") {
    return CommentOnTable{
        .table = reader.table_name(
            kNameAt, reader.behind_qualified_name(kNameAt), std::move(parts)),
        .part = CommentOnTable::Part::kTable,
        .name = {}};
  }
  if (kind == "OBJECT_COLUMN") return on_column(reader, std::move(parts));
  if (kind == "OBJECT_TABCONSTRAINT") {
    return on_constraint(reader, std::move(parts));
  }
  if (kind == "OBJECT_INDEX") {
    return CommentOnObject{
        .object = reader.object_name(kNameAt, std::move(parts)),
        .kind = CommentOnObject::Kind::kIndex};
  }
  if (kind == "OBJECT_STATISTIC_EXT") {
    return CommentOnObject{
        .object = reader.object_name(kNameAt, std::move(parts)),
        .kind = CommentOnObject::Kind::kStatistics};
  }
  reader.refuse(reader.span().begin,
                "COMMENT ON is supported for tables, columns, constraints, "
                "indexes and statistics only",
                "take it out of the script, and run it by hand before or after "
                "the migration");
}

}  // namespace pgrecast::script
