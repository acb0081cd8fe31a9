#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"

#include "folder.h"
#include "new_shape.h"
#include "script_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

using catalog::Column;
using pg::quote_identifier;

// The columns go on under their names: what is known by number follows.
void Folder::follow_names(const script::Statement& statement,
                          Folding& folding) {
  const std::vector<Column> now =
      catalog::read_columns(*connection_, folding.shadow_oid);
  std::map<int, int> moved;
  for (Column& column : folding.columns) {
    const auto found = std::ranges::find(now, column.name, &Column::name);
    // What is gone keeps a number that no column has.
    const int attnum = found == now.end() ? -column.attnum : found->attnum;
    moved[column.attnum] = attnum;
    column.attnum = attnum;
    if (found == now.end()) continue;
    if (made_by(*found) != made_by(column) && !found->generated) {
      folding.changes.push_back(
          fmt::format("default of column {}: {} instead of {}", column.name,
                      made_by(*found).empty() ? "none" : made_by(*found),
                      made_by(column).empty() ? "none" : made_by(column)));
    }
    if (found->not_null != column.not_null) {
      folding.changes.push_back(
          fmt::format("column {} {} NULL", column.name,
                      found->not_null ? "is NOT" : "may be"));
    }
  }
  for (Column& column : folding.at_first) {
    const auto found = moved.find(column.attnum);
    column.attnum = found == moved.end() ? -column.attnum : found->second;
  }
  for (auto& [attnum, value] : folding.key) attnum = moved.at(attnum);
  std::map<int, std::string> made_anew;
  for (auto& [attnum, by] : folding.made_anew) {
    made_anew[moved.at(attnum)] = std::move(by);
  }
  folding.made_anew = std::move(made_anew);
  reshape(statement, folding, {});
}

// As by hand, where the rows would be put into the new table: what goes on
// under its name must be assignable. And a sequence must go on, too.
void Folder::check_named_columns(const script::Statement& statement,
                                 const Folding& folding,
                                 const std::vector<Column>& before) {
  for (const Column& column : folding.columns) {
    const auto old = std::ranges::find(before, column.name, &Column::name);
    if (old == before.end() || column.generated) continue;
    if (column.identity && !old->identity) {
      refuse(statement.span.begin,
             fmt::format("column {} would get a new sequence, which begins at "
                         "1, beside the values that there are",
                         column.name),
             "write DEFAULT nextval(..) of the sequence that there is, or add "
             "the identity by hand after the migration");
    }
    if (const auto problem = assignment_problem(
            *connection_, folding.table->shadow, column.name, old->type)) {
      refuse(statement.span.begin,
             fmt::format("column {} cannot go on as {}: {}", column.name,
                         column.type, *problem),
             fmt::format("say before it how: ALTER TABLE .. ALTER COLUMN {} "
                         "TYPE {} USING ..",
                         quote_identifier(column.name), column.type));
    }
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::CreateTable& body) {
  Folding& folding = folding_of(statement, body.table);
  const std::string shadow = folding.table->shadow.quoted();
  if (folding.recreated) {
    refuse(statement.span.begin,
           fmt::format("the script makes table {} twice", body.table.name),
           "leave one of the two out");
  }
  if (has_statistics(*connection_, folding.shadow_oid)) {
    refuse(
        statement.span.begin,
        "the statistics that the script has made are gone with the old shape",
        "put CREATE STATISTICS behind CREATE TABLE");
  }
  const auto made = made_before_new_shape(
      *connection_, folding.table->source.oid, folding.shadow_oid);
  if (!made.empty()) {
    refuse(statement.span.begin,
           fmt::format("{}, which the script has made, is gone with the old "
                       "shape",
                       join(made, ", ")),
           "put it behind CREATE TABLE, or into it");
  }
  refuse_references_to(statement, folding);
  const auto comments =
      comments_by_column(*connection_, folding.shadow_oid, shadow);
  connection_->exec("DROP TABLE " + shadow);
  run_on_clone(statement, folding);
  folding.shadow_oid =
      catalog::find_relation(*connection_, folding.table->shadow.schema,
                             folding.table->shadow.name)
          .value();
  folding.recreated = true;
  folding.changes.emplace_back("the shape that CREATE TABLE names");
  const std::vector<Column> before = folding.columns;
  follow_names(statement, folding);
  check_named_columns(statement, folding, before);
  for (const auto& [column, comment] : comments) {
    const bool there =
        column.empty() ||
        std::ranges::find(folding.columns, column, &Column::name) !=
            folding.columns.end();
    if (there) connection_->exec(comment);
  }
  own_table(*connection_, folding.table->source.owner, folding.table->shadow);
}

// By the name of one of its partitions, or by its own.
Folding* Folder::made_anew_by_script(const script::TableName& name) {
  for (Folding& folding : foldings_) {
    if (name.schema && *name.schema != folding.table->source.name.schema) {
      continue;
    }
    if (folding.partitions.contains(name.name)) return &folding;
  }
  for (Folding& folding : foldings_) {
    if (!folding.recreated || folding.table->source.name.name != name.name) {
      continue;
    }
    if (!name.schema || *name.schema == folding.table->source.name.schema) {
      return &folding;
    }
  }
  return nullptr;
}

void Folder::apply(const script::Statement& statement,
                   const script::CreatePartition& body) {
  Folding* const folding = made_anew_by_script(body.parent);
  if (folding == nullptr) {
    refuse(body.parent.span.begin,
           fmt::format("{} is no table that this script makes anew",
                       body.parent.name),
           "put CREATE TABLE .. PARTITION BY .., with the name of the table, "
           "before its partitions");
  }
  const catalog::QualifiedName& source = folding->table->source.name;
  if (body.partition.schema && *body.partition.schema != source.schema) {
    refuse(body.partition.span.begin,
           fmt::format("the partition would be in schema {}",
                       *body.partition.schema),
           fmt::format("make it beside its table, in schema {}, and move it "
                       "after the migration",
                       source.schema));
  }
  const std::string& schema = folding->table->shadow.schema;
  run_script_sql(
      statement,
      script_->with_partition_replaced(
          statement, pg::quote_qualified(schema, body.partition.name),
          pg::quote_qualified(schema, body.parent.name)));
  folding->partitions.insert(body.partition.name);
  folding->changes.push_back(
      fmt::format("partition {} of {}", body.partition.name, body.parent.name));
}

}  // namespace pgrecast::plan
