#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"
#include "pgrecast/plan/partitions.h"

#include "folder.h"
#include "new_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {
namespace {

// The unique index on exactly the columns of the key, among the clone's.
std::optional<std::string> find_key_index(
    pg::Connection& connection, catalog::Oid shadow_oid,
    const std::vector<std::string>& columns) {
  const pg::Result found = connection.exec(
      R"sql(
SELECT c.relname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
  AND (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attname::pg_catalog.text COLLATE "C")
       FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS n
       JOIN pg_catalog.pg_attribute a
         ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n])
      OPERATOR(pg_catalog.=)
      (SELECT pg_catalog.array_agg(k ORDER BY k COLLATE "C")
       FROM pg_catalog.unnest($2::pg_catalog.text[]) AS k)
ORDER BY i.indisprimary DESC, c.relname)sql",
      {shadow_oid, pg::array_literal(columns)});
  if (found.empty()) return std::nullopt;
  return std::string(found.text(0, 0));
}

}  // namespace

using catalog::Column;
using pg::quote_identifier;

void Folder::choose_indexes(Folding& folding, TableTarget& target) {
  ClonedIndexes cloned =
      read_indexes(*connection_, folding.shadow_oid, target.shadow);
  target.late_constraints = std::move(cloned.late_constraints);
  const auto key_index =
      find_key_index(*connection_, folding.shadow_oid, target.shadow_key);
  const pg::Result source_names = connection_->exec(
      "SELECT c.relname FROM pg_catalog.pg_index i"
      " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
      " WHERE i.indrelid = $1::pg_catalog.oid",
      {folding.table->source.oid});
  std::set<std::string, std::less<>> known;
  for (int row = 0; row < source_names.rows(); ++row) {
    known.emplace(source_names.text(row, 0));
  }
  for (ShadowIndex& index : cloned.indexes) {
    index.from_script = !known.contains(index.name);
    if (key_index && index.name == *key_index) {
      target.key_index = std::move(index);
    } else {
      target.indexes.push_back(std::move(index));
    }
  }
  if (!rule_on("fold_index")) target.indexes.clear();
  if (key_index) return;
  target.key_index_is_ours = true;
  target.key_index.name = "pgrecast_key";
  target.key_index = our_key_index(target);
}

// Lets the server say whether the rows can be made at all, and stored.
void Folder::try_select(Folding& folding, const TableTarget& target) {
  connection_->exec("SAVEPOINT try_select");
  try {
    settings_.enter(made_under_.value());
    connection_->exec(fmt::format(
        "INSERT INTO {} {} {}", target.shadow.quoted(),
        target.select.insert_target(), target.select.rows("false")));
    connection_->exec(target.select.rows_to_compare("false"));
    connection_->exec(
        target.select.shadow_to_compare(target.shadow.quoted(), "false"));
  } catch (const pg::SqlError& error) {
    connection_->exec("ROLLBACK TO SAVEPOINT try_select");
    throw Refused(
        fmt::format("table {}: the statements together make no rows that the "
                    "new shape takes: {}",
                    folding.table->source.name.display(), error.what()),
        "check the types of the expressions against the columns");
  }
  connection_->exec("ROLLBACK TO SAVEPOINT try_select");
}

// What hangs off a column is carried over by its name.
void Folder::refuse_names_taken_over(const Folding& folding) {
  for (const Column& column : folding.at_first) {
    const auto heir =
        std::ranges::find(folding.columns, column.name, &Column::name);
    if (heir == folding.columns.end() || heir->attnum == column.attnum ||
        find_attnum(folding.columns, column.attnum) != nullptr) {
      continue;
    }
    const pg::Result found =
        connection_->exec(R"sql(
SELECT 'grants' FROM pg_catalog.pg_attribute
WHERE attrelid = $1::pg_catalog.oid AND attname = $2 AND attacl IS NOT NULL
UNION ALL
SELECT 'a security label' FROM pg_catalog.pg_seclabel l
JOIN pg_catalog.pg_attribute a ON a.attrelid = l.objoid AND a.attnum = l.objsubid
WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND l.objoid = $1::pg_catalog.oid AND a.attname = $2
UNION ALL
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
LEFT JOIN pg_catalog.pg_class c
  ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.oid AND a.attname = $2
  -- These the clone has, and lost with the column.
  AND d.classid NOT IN ('pg_catalog.pg_attrdef'::pg_catalog.regclass,
                        'pg_catalog.pg_constraint'::pg_catalog.regclass)
  AND COALESCE(c.relkind, 'S') = 'S' AND d.objid <> d.refobjid
ORDER BY 1)sql",
                          {folding.table->source.oid, column.name});
    if (found.empty()) continue;
    throw Refused(
        fmt::format("table {}: another column takes the name of column {}, "
                    "which is dropped: what that has ({}) would go to the "
                    "new one",
                    folding.table->source.name.display(), column.name,
                    found.text(0, 0)),
        "give the new column another name, or drop that beforehand");
  }
}

TableTarget Folder::finish(Folding& folding, std::uint32_t ordinal) {
  TableTarget target;
  target.ordinal = ordinal;
  target.source = folding.table->source.name;
  target.shadow = folding.table->shadow;
  target.retired = folding.table->retired;
  target.changes = folding.changes;
  if (!folding.recreated) refuse_names_taken_over(folding);
  SelectList::Parts parts;
  parts.alias = source_alias(folding);
  parts.from = folding.table->source.whole();
  parts.ctid_column = folding.ctid_column;
  parts.heap_column = folding.heap_column;
  std::vector<std::string> rows;
  std::vector<std::string> compared{places(folding)};
  for (const Column& column : folding.columns) {
    if (column.generated) continue;
    if (const auto anew = folding.made_anew.find(column.attnum);
        anew != folding.made_anew.end()) {
      if (anew->second == made_by(column)) continue;
      throw Refused(
          fmt::format("table {}: the values of column {} come from the default "
                      "that it was added with, which a later statement changes",
                      folding.table->source.name.display(), column.name),
          "change the default after the migration");
    }
    const std::string name = quote_identifier(column.name);
    if (name == folding.ctid_column || name == folding.heap_column) {
      throw Refused(
          fmt::format("table {}: column {} has a name of ours",
                      folding.table->source.name.display(), column.name),
          "give the column another name");
    }
    parts.insert_columns.push_back(column.name);
    parts.compare_columns.push_back(column.name);
    parts.compare_types.push_back(column.cast_type);
    rows.push_back(name);
    compared.push_back(
        fmt::format("CAST({} AS {}) AS {}", name, column.cast_type, name));
  }
  parts.rows_head =
      fmt::format("SELECT {} FROM ({}", join(rows, ", "), folding.head);
  parts.compare_head =
      fmt::format("SELECT {} FROM ({}", join(compared, ", "), folding.head);
  parts.rows_tail = folding.tail + ") AS " + parts.alias;
  parts.compare_tail = parts.rows_tail;
  for (const Column& column : folding.at_first) {
    const Column* now = find_attnum(folding.columns, column.attnum);
    if (now != nullptr && now->name != column.name) {
      target.renamed[column.name] = now->name;
    }
  }
  for (const auto& [attnum, value] : folding.key) {
    target.shadow_key.push_back(find_attnum(folding.columns, attnum)->name);
    parts.key_expressions.push_back(value);
  }
  target.select = SelectList(std::move(parts));
  target.partitions = read_partitions(*connection_, folding.shadow_oid);
  target.dropped_statistics = folding.dropped_statistics;
  target.dropped_foreign_keys = folding.dropped_foreign_keys;
  target.added_foreign_keys = folding.added_foreign_keys;
  finish_grants(folding, target);
  if (folding.recreated) {
    keep_replica_identity(*connection_, folding.table->source.oid,
                          target.shadow);
    if (auto refusal = unfit_to_be_published(
            *connection_, folding.table->source.oid, folding.shadow_oid)) {
      throw Refused({std::move(*refusal)});
    }
    std::ranges::move(lost_by_new_shape(*connection_, folding.table->source.oid,
                                        folding.shadow_oid),
                      std::back_inserter(target.changes));
  }
  choose_indexes(folding, target);
  try_select(folding, target);
  return target;
}

}  // namespace pgrecast::plan
