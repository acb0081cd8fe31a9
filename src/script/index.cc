#include "statements.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgrecast::script {
namespace {

// A partition's index is attached by the server, with its table's; the others
// of ALTER INDEX say nothing of the index's own shape.
void refuse_other_than_own_shape(const StatementReader& reader,
                                 const Tree& node) {
  constexpr std::array<std::string_view, 4> kTaken{
      "AT_SetRelOptions", "AT_ResetRelOptions", "AT_SetTableSpace",
      "AT_SetStatistics"};
  for (const Tree& item : field(node, "cmds")) {
    const std::string kind =
        text_field(field(item, "AlterTableCmd"), "subtype");
    if (std::find(kTaken.begin(), kTaken.end(), kind) == kTaken.end()) {
      refuse_statement(reader);
    }
  }
}

}  // namespace

CreateIndex take_create_index(const StatementReader& reader, const Tree& node) {
  CreateIndex index;
  index.table = reader.table_name(field(node, "relation"));
  if (has(node, "idxname")) index.name = text_field(node, "idxname");
  index.unique = flag_field(node, "unique");
  index.if_not_exists = flag_field(node, "if_not_exists");
  if (flag_field(node, "concurrent")) {
    // CREATE [UNIQUE] INDEX CONCURRENTLY: before any name.
    const std::size_t word =
        reader.find_keyword(0, reader.end(), "concurrently");
    index.concurrently = reader.span_of(word, word + 1);
  }
  return index;
}

// DROP INDEX [CONCURRENTLY] [IF EXISTS] name [, ...] [CASCADE | RESTRICT]
DropIndex take_drop_index(const StatementReader& reader, const Tree& node) {
  DropIndex drop;
  drop.if_exists = flag_field(node, "missing_ok");
  drop.concurrently = flag_field(node, "concurrent");
  drop.cascade = text_field(node, "behavior") == "DROP_CASCADE";
  std::size_t at = 2;
  if (drop.concurrently) ++at;
  if (drop.if_exists) at += 2;
  for (const Tree& object : field(node, "objects")) {
    drop.indexes.push_back(reader.object_name(
        at, string_list(field(field(object, "List"), "items"))));
    at = reader.behind_qualified_name(at) + 1;  // the comma
  }
  return drop;
}

// ALTER INDEX [IF EXISTS] name RENAME TO .. | SET .. | ..
AlterIndex take_alter_index(const StatementReader& reader, const Tree& node) {
  TableName name = reader.table_name(field(node, "relation"));
  AlterIndex alter;
  alter.index = {.schema = std::move(name.schema),
                 .name = std::move(name.name),
                 .span = name.span};
  alter.if_exists = flag_field(node, "missing_ok");
  if (has(node, "newname")) {
    alter.renamed_to = text_field(node, "newname");
  } else {
    refuse_other_than_own_shape(reader, node);
  }
  return alter;
}

}  // namespace pgrecast::script
