#include "pgrecast/exchange/planned_locks.h"

#include "pgrecast/catalog/views.h"

#include "carried.h"

#include <algorithm>

namespace pgrecast::exchange {
namespace {

using catalog::QualifiedName;

// Those that carried.cc validates afterwards: what was valid before.
constexpr const char* kValidated = R"sql(
SELECT c.conname, n.nspname, t.relname, fn.nspname, ft.relname, c.conrelid
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class ft ON ft.oid = c.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = ft.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.convalidated
  AND (c.conrelid = ANY ($1::pg_catalog.oid[])
       OR c.confrelid = ANY ($1::pg_catalog.oid[]))
ORDER BY c.oid)sql";

// What materialized views among $1 read, by way of whatever views, but for $1
// and the tables $2.
constexpr const char* kReadToFill = R"sql(
WITH RECURSIVE read(oid, kind) AS (
  SELECT c.oid, c.relkind FROM pg_catalog.pg_class c
  WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND c.relkind = 'm'
  UNION
  SELECT c.oid, c.relkind FROM read
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = read.oid AND r.ev_type = '1'
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.objid = r.oid
  JOIN pg_catalog.pg_class c ON c.oid = d.refobjid
  -- That which is filled already is read as it is.
  WHERE read.kind = 'v' OR read.oid = ANY ($1::pg_catalog.oid[]))
SELECT n.nspname, c.relname
FROM read
JOIN pg_catalog.pg_class c ON c.oid = read.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.oid = ANY ($1::pg_catalog.oid[] || $2::pg_catalog.oid[])
ORDER BY n.nspname, c.relname)sql";

constexpr const char* kNames = R"sql(
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::pg_catalog.oid[])
ORDER BY c.oid)sql";

QualifiedName name_at(const pg::Result& result, int row, int column) {
  return {.schema = std::string(result.text(row, column)),
          .name = std::string(result.text(row, column + 1))};
}

std::vector<QualifiedName> names(const pg::Result& result) {
  std::vector<QualifiedName> all;
  all.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    all.push_back(name_at(result, row, 0));
  }
  return all;
}

std::vector<QualifiedName> once_each(const std::vector<QualifiedName>& names) {
  std::vector<QualifiedName> seen;
  for (const QualifiedName& name : names) {
    if (std::ranges::find(seen, name) == seen.end()) seen.push_back(name);
  }
  return seen;
}

}  // namespace

PlannedLocks planned_locks(pg::Connection& connection,
                           const std::vector<ExchangeTable>& tables,
                           const std::string& own_publication) {
  ExchangeOptions options;
  options.own_publication = own_publication;
  // There are none yet; what is locked does not depend on where they will be.
  options.twins = plan::read_twins(connection, reshaped(tables));
  const Carried carried = read_carried(connection, tables, options);
  PlannedLocks locks;
  locks.views = once_each(carried.locked_views);
  for (const QualifiedName& name : once_each(carried.locked_sequences)) {
    const bool identity =
        std::ranges::find(carried.identities, name.quoted(),
                          &Carried::Identity::name) != carried.identities.end();
    (identity ? locks.identities : locks.sequences).push_back(name);
  }
  locks.others =
      names(connection.exec(kNames, {catalog::oid_array(carried.other_oids)}));
  locks.referenced = names(
      connection.exec(kNames, {catalog::oid_array(carried.added_references)}));
  std::vector<catalog::Oid> sources;
  sources.reserve(tables.size());
  for (const ExchangeTable& table : tables) {
    sources.push_back(table.source_oid);
  }
  std::vector<catalog::Oid> views;
  for (const Carried::View& view : carried.views_anew) {
    views.push_back(view.oid);
  }
  locks.read_to_fill = names(connection.exec(
      kReadToFill, {catalog::oid_array(views), catalog::oid_array(sources)}));
  const pg::Result validated =
      connection.exec(kValidated, {catalog::oid_array(sources)});
  for (int row = 0; row < validated.rows(); ++row) {
    PlannedLocks::Validation validation{
        .constraint = std::string(validated.text(row, 0)),
        .referencing = name_at(validated, row, 1),
        .referenced = name_at(validated, row, 3)};
    const auto referencing = validated.number<catalog::Oid>(row, 5);
    const auto ours =
        std::ranges::find(tables, referencing, &ExchangeTable::source_oid);
    if (ours != tables.end() &&
        ours->target->dropped_foreign_keys.contains(validation.constraint)) {
      continue;
    }
    validation.by_leaves = std::ranges::any_of(
        carried.leaf_keys, [&](const Carried::LeafKeys& keys) {
          return keys.referencing == referencing &&
                 keys.name == validation.constraint;
        });
    locks.validations.push_back(std::move(validation));
  }
  for (const ExchangeTable& table : tables) {
    for (const plan::AddedForeignKey& key : table.target->added_foreign_keys) {
      if (!key.validated) continue;
      locks.validations.push_back({.constraint = key.name,
                                   .referencing = table.target->source,
                                   .referenced = key.referenced});
    }
  }
  locks.analyzes = std::ranges::any_of(
      carried.afterwards,
      [](const std::string& sql) { return sql.starts_with("ANALYZE "); });
  return locks;
}

}  // namespace pgrecast::exchange
