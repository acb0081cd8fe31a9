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
  const pg::Result others =
      connection.exec(kNames, {catalog::oid_array(carried.other_oids)});
  for (int row = 0; row < others.rows(); ++row) {
    locks.others.push_back(name_at(others, row, 0));
  }
  std::vector<catalog::Oid> sources;
  for (const ExchangeTable& table : tables) {
    sources.push_back(table.source_oid);
  }
  const pg::Result validated =
      connection.exec(kValidated, {catalog::oid_array(sources)});
  for (int row = 0; row < validated.rows(); ++row) {
    PlannedLocks::Validation validation{
        .constraint = std::string(validated.text(row, 0)),
        .referencing = name_at(validated, row, 1),
        .referenced = name_at(validated, row, 3)};
    validation.by_leaves = std::ranges::any_of(
        carried.leaf_keys, [&](const Carried::LeafKeys& keys) {
          return keys.referencing == validated.number<catalog::Oid>(row, 5) &&
                 keys.name == validation.constraint;
        });
    locks.validations.push_back(std::move(validation));
  }
  locks.analyzes = std::ranges::any_of(
      carried.afterwards,
      [](const std::string& sql) { return sql.starts_with("ANALYZE "); });
  return locks;
}

}  // namespace pgrecast::exchange
