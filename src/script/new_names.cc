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

// The constraints of an added column; null where it has none.
Tree* constraints_of(Tree& command) {
  const Tree& column =
      field(field(field(command, "AlterTableCmd"), "def"), "ColumnDef");
  if (!has(column, "constraints")) return nullptr;
  return &command["AlterTableCmd"]["def"]["ColumnDef"]["constraints"];
}

// The table's constraint that a subcommand adds; null where it adds none.
const Tree& constraint_of(const Tree& command) {
  return field(field(field(command, "AlterTableCmd"), "def"), "Constraint");
}

void erase_references(Tree& constraints) {
  Tree left = Tree::array();
  bool erasing = false;
  for (Tree& item : constraints) {
    const Tree& constraint = field(item, "Constraint");
    erasing =
        is_foreign_key(constraint) || (erasing && is_attribute(constraint));
    if (!erasing) left.push_back(std::move(item));
  }
  constraints = std::move(left);
}

}  // namespace

Tree with_references(Tree statement, const std::vector<Tree>& tables) {
  std::size_t next = 0;
  for (Tree& command : statement["AlterTableStmt"]["cmds"]) {
    if (is_foreign_key(constraint_of(command))) {
      rename(command["AlterTableCmd"]["def"]["Constraint"]["pktable"],
             tables.at(next++));
    }
    Tree* const constraints = constraints_of(command);
    if (constraints == nullptr) continue;
    for (Tree& item : *constraints) {
      if (!is_foreign_key(field(item, "Constraint"))) continue;
      rename(item["Constraint"]["pktable"], tables.at(next++));
    }
  }
  return statement;
}

Tree without_foreign_keys(Tree statement) {
  Tree& commands = statement["AlterTableStmt"]["cmds"];
  Tree left = Tree::array();
  for (Tree& command : commands) {
    if (is_foreign_key(constraint_of(command))) continue;
    if (Tree* const constraints = constraints_of(command)) {
      erase_references(*constraints);
      if (constraints->empty()) {
        command["AlterTableCmd"]["def"]["ColumnDef"].erase("constraints");
      }
    }
    left.push_back(std::move(command));
  }
  commands = std::move(left);
  return statement;
}

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
