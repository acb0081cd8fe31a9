#include "pgrecast/plan/leaf_keys.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <string>

namespace pgrecast::plan {
namespace {

constexpr int kTakesWholeNotValid = 180000;

// Parts that are made under the exchange's locks, two triggers each. On a slow
// machine 20 x 20 took 0.12 s, 50 x 50 0.8 s and 100 x 100 6 s; and dropping
// them, as they are taken in, three locks each, of which a server with default
// settings has some 6,400.
constexpr std::int64_t kPartsMax = 1000;

// $1, $2: the tables, and what takes their places; $3, $4: those that the
// script drops.
constexpr const char* kKeys = R"sql(
WITH moved AS (
  SELECT m.source, m.target FROM ROWS FROM (
    pg_catalog.unnest($1::pg_catalog.oid[]),
    pg_catalog.unnest($2::pg_catalog.oid[])) AS m(source, target)),
key AS (
  SELECT c.oid, c.conname, COALESCE(f.target, c.conrelid) AS referencing,
         COALESCE(t.target, c.confrelid) AS referenced
  FROM pg_catalog.pg_constraint c
  LEFT JOIN moved f ON f.source = c.conrelid
  LEFT JOIN moved t ON t.source = c.confrelid
  WHERE c.contype = 'f' AND c.conparentid = 0
    AND (f.source IS NOT NULL OR t.source IS NOT NULL)
    AND NOT EXISTS (
      SELECT FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.oid[]),
                             pg_catalog.unnest($4::pg_catalog.text[]))
        AS dropped(source, name)
      WHERE dropped.source = c.conrelid AND dropped.name = c.conname)))sql";

// constraint, leaves, partitions of the other table.
constexpr const char* kBetweenPartitioned = R"sql(
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_constraint'::pg_catalog.regclass, key.oid, 0),
       (SELECT pg_catalog.count(*)
        FROM pg_catalog.pg_partition_tree(key.referencing) AS p
        JOIN pg_catalog.pg_class leaf ON leaf.oid = p.relid AND leaf.relkind = 'r'),
       (SELECT pg_catalog.count(*) - 1
        FROM pg_catalog.pg_partition_tree(key.referenced) AS p)
FROM key
JOIN pg_catalog.pg_class a ON a.oid = key.referencing AND a.relkind = 'p'
JOIN pg_catalog.pg_class b ON b.oid = key.referenced AND b.relkind = 'p'
ORDER BY 1)sql";

// constraint, its name, a partition of the referencing table that has another
// of that name.
constexpr const char* kNameIsTaken = R"sql(
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_constraint'::pg_catalog.regclass, key.oid, 0),
       key.conname, p.relid::pg_catalog.regclass
FROM key
JOIN pg_catalog.pg_class a ON a.oid = key.referencing AND a.relkind = 'p'
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(key.referencing) AS p
JOIN pg_catalog.pg_constraint x
  ON x.conrelid = p.relid AND x.conname = key.conname AND x.oid <> key.oid
 AND (x.contype <> 'f' OR x.conparentid = 0)
ORDER BY 1, 3)sql";

}  // namespace

std::vector<Refusal> unfit_leaf_keys(
    pg::Connection& connection, const std::vector<catalog::Reshaped>& tables) {
  const int version = connection.server_version();
  std::vector<catalog::Oid> sources;
  std::vector<catalog::Oid> targets;
  std::vector<catalog::Oid> dropped_of;
  std::vector<std::string> dropped;
  for (const catalog::Reshaped& table : tables) {
    sources.push_back(table.source);
    targets.push_back(table.target);
    for (const std::string& name : table.dropped_foreign_keys) {
      dropped_of.push_back(table.source);
      dropped.push_back(name);
    }
  }
  const std::vector<pg::Param> parameters = {
      catalog::oid_array(sources), catalog::oid_array(targets),
      catalog::oid_array(dropped_of), pg::array_literal(dropped)};
  std::vector<Refusal> refusals;
  const pg::Result taken =
      connection.exec(std::string(kKeys) + kNameIsTaken, parameters);
  for (int row = 0; row < taken.rows(); ++row) {
    refusals.push_back(
        {.what = fmt::format("{} cannot be made again: partition {} has a "
                             "constraint {} of its own",
                             taken.text(row, 0), taken.text(row, 2),
                             taken.text(row, 1)),
         .remedy = "ALTER TABLE .. RENAME CONSTRAINT, of one of the two"});
  }
  if (version >= kTakesWholeNotValid) return refusals;
  const pg::Result keys =
      connection.exec(std::string(kKeys) + kBetweenPartitioned, parameters);
  for (int row = 0; row < keys.rows(); ++row) {
    const std::string key(keys.text(row, 0));
    const auto leaves = keys.number<std::int64_t>(row, 1);
    const auto partitions = keys.number<std::int64_t>(row, 2);
    if (!takes_in_leaf_keys(version)) {
      refusals.push_back(
          {.what = fmt::format("{} leads from one partitioned table to "
                               "another, where this server would leave parts "
                               "of it behind as it is made again",
                               key),
           .remedy = "update the server (to 14.14, 15.9, 16.5, 17.1 or later); "
                     "or drop it, and create it again after the migration"});
    } else if (leaves * partitions > kPartsMax) {
      refusals.push_back(
          {.what = fmt::format("{} leads from {} leaves to {} partitions: more "
                               "than {} parts of it would have to be made "
                               "under the lock",
                               key, leaves, partitions, kPartsMax),
           .remedy = "drop it, and create it again after the migration; from "
                     "PostgreSQL 18 on it would come along"});
    }
  }
  return refusals;
}

// 14.14, 15.9, 16.5 and 17.1 were the first to drop the parts.
bool takes_in_leaf_keys(int server_version) {
  constexpr int kMajor = 10000;
  const int minor = server_version % kMajor;
  switch (server_version / kMajor) {
    case 14:
      return minor >= 14;
    case 15:
      return minor >= 9;
    case 16:
      return minor >= 5;
    default:
      return server_version / kMajor > 17 || minor >= 1;
  }
}

}  // namespace pgrecast::plan
