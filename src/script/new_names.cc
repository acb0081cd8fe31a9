#include "new_names.h"

#include <string>
#include <utility>

namespace pgrecast::script {
namespace {

void rename(Tree& relation, const Tree& name) {
  relation.erase("schemaname");
  for (const char* part : {"schemaname", "relname"}) {
    if (has(name, part)) relation[part] = field(name, part);
  }
}

// The same as a list of parts.
Tree parts_of(const Tree& name) {
  Tree parts = Tree::array();
  for (const char* part : {"schemaname", "relname"}) {
    if (has(name, part)) parts.push_back({{"String", {{"sval", name[part]}}}});
  }
  return parts;
}

// [schema,] table [, column or constraint]
void rename_in_comment(Tree& node, const Tree& table) {
  Tree& items = node["object"]["List"]["items"];
  const std::string kind = text_field(node, "objtype");
  Tree renamed = parts_of(table);
  if (kind == "OBJECT_COLUMN" || kind == "OBJECT_TABCONSTRAINT") {
    renamed.push_back(items.back());
  }
  items = std::move(renamed);
}

}  // namespace

Tree with_table(Tree statement, const Tree& table) {
  const std::string kind = statement.begin().key();
  Tree& node = statement.begin().value();
  if (kind == "CommentStmt") {
    rename_in_comment(node, table);
  } else if (kind == "GrantStmt") {
    rename(node["objects"].at(0)["RangeVar"], table);
  } else if (kind == "CreateStatsStmt") {
    rename(node["relations"].at(0)["RangeVar"], table);
  } else {
    rename(node["relation"], table);
    node.erase("concurrent");
  }
  return statement;
}

Tree with_object(Tree statement, const Tree& object) {
  const std::string kind = statement.begin().key();
  Tree& node = statement.begin().value();
  if (kind == "CommentStmt") {
    rename_in_comment(node, object);
  } else if (kind == "CreateStatsStmt") {
    node["defnames"] = parts_of(object);
  } else {
    rename(node["relation"], object);
  }
  return statement;
}

Tree with_partition(Tree statement, const Tree& partition, const Tree& parent) {
  Tree& node = statement.begin().value();
  rename(node["relation"], partition);
  rename(node["inhRelations"].at(0)["RangeVar"], parent);
  return statement;
}

}  // namespace pgrecast::script
