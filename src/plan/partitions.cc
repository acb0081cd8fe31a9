#include "pgrecast/plan/partitions.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace pgrecast::plan {
namespace {

using catalog::Oid;

// $1 the source, $2 the shadow, a partitioned table: (what, remedy).
constexpr const char* kUnfit = R"sql(
WITH RECURSIVE part AS (
  SELECT $2::pg_catalog.oid AS oid
  UNION ALL
  SELECT i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid),
old(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION ALL
  SELECT i.inhrelid FROM old JOIN pg_catalog.pg_inherits i ON i.inhparent = old.oid),
source AS (
  SELECT c.oid, c.relname, c.relnamespace, c.relreplident, c.relrowsecurity, c.relkind
  FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid),
node AS (
  SELECT c.oid, c.relname, p.relname AS of,
         pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound,
         pg_catalog.pg_get_partkeydef(c.oid) AS key
  FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
  LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  WHERE c.oid IN (SELECT part.oid FROM part UNION ALL SELECT old.oid FROM old)),
-- Every row stays in the partition of the name that it is in now, since a
-- partition key is part of the table's key, whose values stay.
same_tree AS (
  SELECT pg_catalog.count(*) = 0 AS holds FROM (
    SELECT n.relname, n.of, n.bound, n.key FROM node n
    GROUP BY n.relname, n.of, n.bound, n.key HAVING pg_catalog.count(*) <> 2) AS x)
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0)
         || ' is a row trigger with transition tables, which a partitioned table cannot have',
       'drop it, or make it a statement trigger'
FROM source JOIN pg_catalog.pg_trigger t ON t.tgrelid = source.oid
WHERE NOT t.tgisinternal AND (t.tgtype & 1) = 1
  AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
UNION ALL
SELECT 'publication ' || p.pubname || CASE
         WHEN NOT p.pubviaroot AND NOT same_tree.holds THEN
           ' publishes the partitions of the table as tables of their own, which its subscribers may not have'
         WHEN source.relreplident <> 'd' THEN
           ' publishes the table with a replica identity that is not the default, which partitions would not have'
         ELSE ' publishes the table, and the new one has no primary key: its updates would fail' END,
       CASE WHEN NOT p.pubviaroot AND NOT same_tree.holds THEN
              'ALTER PUBLICATION .. SET (publish_via_partition_root = true)'
            WHEN source.relreplident <> 'd' THEN
              'ALTER TABLE .. REPLICA IDENTITY DEFAULT, or take the table out of the publication'
            ELSE 'give the new table a primary key, or take the table out of the publication' END
FROM source CROSS JOIN same_tree
JOIN pg_catalog.pg_publication_rel r ON r.prrelid = source.oid
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE NOT pg_catalog.starts_with(p.pubname, 'pgrecast_')
  AND (NOT p.pubviaroot AND NOT same_tree.holds OR source.relreplident <> 'd' OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_index k WHERE k.indrelid = $2::pg_catalog.oid AND k.indisprimary))
UNION ALL
SELECT pg_catalog.format('there is %s %s in schema %s already',
         CASE WHEN taken.relname IS NULL THEN 'a type' ELSE 'a relation' END,
         mine.relname, n.nspname),
       'give the partition, or its index, another name'
FROM source
JOIN pg_catalog.pg_namespace n ON n.oid = source.relnamespace
JOIN (
  SELECT c.relname, c.relkind FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid
  WHERE part.oid <> $2::pg_catalog.oid
  UNION ALL
  SELECT ic.relname, ic.relkind FROM part JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  WHERE NOT pg_catalog.starts_with(ic.relname, 'pgrecast_key')) AS mine ON true
LEFT JOIN pg_catalog.pg_class taken
  ON taken.relnamespace = source.relnamespace AND taken.relname = mine.relname
  AND taken.oid NOT IN (SELECT old.oid FROM old)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
                  WHERE i.indexrelid = taken.oid AND i.indrelid IN (SELECT old.oid FROM old))
LEFT JOIN pg_catalog.pg_type type
  ON type.typnamespace = source.relnamespace AND type.typname = mine.relname
  AND mine.relkind IN ('r', 'p') AND type.typrelid NOT IN (SELECT old.oid FROM old)
WHERE taken.oid IS NOT NULL OR type.oid IS NOT NULL OR mine.relname = source.relname
UNION ALL
SELECT pg_catalog.format('index %s has a tablespace of its own, which its leaves would not have', ic.relname),
       'leave TABLESPACE out, and move the leaves'' indexes after the migration'
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = $2::pg_catalog.oid AND ic.reltablespace <> 0
UNION ALL
SELECT pg_catalog.format('%s has no partition that can hold a row', relname),
       'add CREATE TABLE .. PARTITION OF ..'
FROM source WHERE NOT EXISTS (
  SELECT FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid WHERE c.relkind = 'r')
ORDER BY 1)sql";

// Of every partition of $1: what it is by itself, by its name, which no schema
// is in. Its indexes by that of the root that they belong to, since their own
// names are the server's choice.
constexpr const char* kFacts = R"sql(
WITH RECURSIVE part AS (
  SELECT c.*, t.parentrelid, pg_catalog.quote_ident(c.relname) AS called
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid
  WHERE t.level > 0),
belongs(oid, top) AS (
  SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits h
  JOIN pg_catalog.pg_index i ON i.indexrelid = h.inhparent
  WHERE i.indrelid = $1::pg_catalog.oid
  UNION ALL
  SELECT h.inhrelid, belongs.top FROM belongs
  JOIN pg_catalog.pg_inherits h ON h.inhparent = belongs.oid),
idx AS (
  SELECT part.called AS part, ic.oid, ic.relname AS name, i.*,
         COALESCE('of ' || pg_catalog.quote_ident(top.relname),
                  pg_catalog.quote_ident(ic.relname)) AS called
  FROM part
  JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  LEFT JOIN belongs b ON b.oid = ic.oid
  LEFT JOIN pg_catalog.pg_class top ON top.oid = b.top)
SELECT 'partition ' || part.called,
       pg_catalog.concat_ws(' ',
         (SELECT p.relname FROM pg_catalog.pg_class p WHERE p.oid = part.parentrelid),
         pg_catalog.pg_get_expr(part.relpartbound, part.oid),
         pg_catalog.pg_get_partkeydef(part.oid),
         'OPTIONS ' || part.reloptions::pg_catalog.text,
         'TOAST ' || (SELECT t.reloptions::pg_catalog.text FROM pg_catalog.pg_class t
                      WHERE t.oid = part.reltoastrelid),
         'METHOD ' || part.relam, 'TABLESPACE ' || part.reltablespace,
         part.relkind, part.relpersistence, part.relreplident,
         part.relrowsecurity, part.relforcerowsecurity)
FROM part
UNION ALL
SELECT 'owner of partition ' || part.called, pg_catalog.pg_get_userbyid(part.relowner)
FROM part
UNION ALL
SELECT 'grant on partition ' || part.called || ' ' || g.privilege_type || ' to '
       || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       CASE WHEN pg_catalog.bool_or(g.is_grantable) THEN 'with grant option' ELSE '' END
FROM part
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  part.relacl, pg_catalog.acldefault('r', part.relowner))) AS g
GROUP BY part.called, g.privilege_type, g.grantee
UNION ALL
SELECT 'column grant on partition ' || part.called || ' ' || a.attname,
       a.attacl::pg_catalog.text
FROM part
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = part.oid AND a.attnum > 0 AND a.attacl IS NOT NULL
UNION ALL
SELECT 'partition ' || part.called || ' column ' || a.attname,
       pg_catalog.concat_ws(' ',
         pg_catalog.row_number() OVER (PARTITION BY part.oid ORDER BY a.attnum),
         pg_catalog.format_type(a.atttypid, a.atttypmod),
         a.attcollation, a.attnotnull, a.attgenerated, a.attidentity,
         a.attstorage, a.attcompression, COALESCE(a.attstattarget, -1),
         (SELECT pg_catalog.string_agg(o.text, ' ' ORDER BY 1)
          FROM pg_catalog.unnest(a.attoptions) AS o(text)
          WHERE o.text NOT LIKE 'pg\_attver=%'),
         pg_catalog.pg_get_expr(d.adbin, d.adrelid))
FROM part
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = part.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'partition ' || part.called || ' constraint ' || c.conname,
       pg_catalog.pg_get_constraintdef(c.oid)
FROM part JOIN pg_catalog.pg_constraint c ON c.conrelid = part.oid
WHERE c.contype NOT IN ('t', 'p', 'u', 'x')
  AND NOT (c.contype = 'f' AND c.conparentid <> 0)
UNION ALL
SELECT 'partition ' || idx.part || ' index ' || idx.called,
       pg_catalog.concat_ws(' ',
         pg_catalog.substr(def.text, pg_catalog.strpos(def.text, ' USING ') + 1),
         CASE WHEN NOT idx.indisvalid THEN 'INVALID' END,
         CASE WHEN idx.indisunique THEN 'UNIQUE' END,
         CASE WHEN idx.indisclustered THEN 'CLUSTERED' END,
         (SELECT 'CONSTRAINT ' || pg_catalog.pg_get_constraintdef(c.oid)
          FROM pg_catalog.pg_constraint c
          WHERE c.conindid = idx.oid AND c.contype IN ('p', 'u', 'x')))
FROM idx CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(idx.oid) AS def(text)
UNION ALL
SELECT 'name of index ' || idx.called || ' of partition ' || idx.part, idx.name
FROM idx
UNION ALL
SELECT 'partition ' || idx.part || ' comment on index ' || idx.called, d.description
FROM idx
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = idx.oid
UNION ALL
SELECT 'partition ' || part.called || ' comment on '
         || COALESCE('column ' || a.attname, 'table'), d.description
FROM part
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = part.oid
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = part.oid AND a.attnum = d.objsubid AND d.objsubid > 0
UNION ALL
SELECT 'partition ' || part.called || ' comment on constraint ' || c.conname, d.description
FROM part
JOIN pg_catalog.pg_constraint c ON c.conrelid = part.oid
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objoid = c.oid
UNION ALL
SELECT 'partition ' || part.called || ' trigger ' || t.tgname,
       pg_catalog.pg_get_triggerdef(t.oid)
FROM part JOIN pg_catalog.pg_trigger t
  ON t.tgrelid = part.oid AND NOT t.tgisinternal AND t.tgparentid = 0)sql";

// A leaf's index on the shadow that belongs to the same index of the same leaf
// as one on the source, under another name.
constexpr const char* kOtherNames = R"sql(
WITH RECURSIVE part AS (
  SELECT root.oid AS root, c.oid, c.relname
  FROM pg_catalog.unnest(ARRAY[$1, $2]::pg_catalog.oid[]) AS root(oid)
  CROSS JOIN LATERAL pg_catalog.pg_partition_tree(root.oid) AS t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid
  WHERE t.level > 0),
belongs(root, oid, top) AS (
  SELECT i.indrelid, h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits h
  JOIN pg_catalog.pg_index i ON i.indexrelid = h.inhparent
  WHERE i.indrelid = ANY (ARRAY[$1, $2]::pg_catalog.oid[])
  UNION ALL
  SELECT belongs.root, h.inhrelid, belongs.top FROM belongs
  JOIN pg_catalog.pg_inherits h ON h.inhparent = belongs.oid),
idx AS (
  SELECT part.root, part.relname AS part, top.relname AS top, ic.relname AS name,
         n.nspname AS schema
  FROM part
  JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = ic.relnamespace
  JOIN belongs b ON b.oid = ic.oid
  JOIN pg_catalog.pg_class top ON top.oid = b.top)
SELECT now.schema, now.name, was.name
FROM idx was JOIN idx now ON now.part = was.part AND now.top = was.top
WHERE was.root = $1::pg_catalog.oid AND now.root = $2::pg_catalog.oid
  AND now.name <> was.name
ORDER BY 2)sql";

bool is_owner(const std::string& fact) {
  return fact.starts_with("owner of partition ");
}

bool is_grant(const std::string& fact) {
  return fact.starts_with("grant on partition ");
}

bool is_index_name(const std::string& fact) {
  return fact.starts_with("name of index ");
}

// What default privileges put there: who may read a partition by its own name
// is not held up by the root's policies.
void revoke_from_others(pg::Connection& connection, const TableTarget& target,
                        const Partition& partition) {
  const std::string name =
      pg::quote_qualified(target.shadow.schema, partition.name);
  const pg::Result others = connection.exec(
      "SELECT DISTINCT g.grantee = 0, pg_catalog.pg_get_userbyid(g.grantee)"
      " FROM pg_catalog.pg_class c"
      " CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS g"
      " WHERE c.oid = $1::pg_catalog.regclass AND g.grantee <> c.relowner",
      {name});
  for (int row = 0; row < others.rows(); ++row) {
    connection.exec(fmt::format(
        "REVOKE ALL ON TABLE {} FROM {} CASCADE", name,
        others.boolean(row, 0) ? std::string("PUBLIC")
                               : pg::quote_identifier(others.text(row, 1))));
  }
}

}  // namespace

std::vector<Partition> read_partitions(pg::Connection& connection, Oid shadow) {
  const pg::Result result = connection.exec(
      "SELECT c.relname, t.isleaf AND c.relkind = 'r'"
      " FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t"
      " JOIN pg_catalog.pg_class c ON c.oid = t.relid"
      " WHERE t.level > 0 ORDER BY t.level, c.relname",
      {shadow});
  std::vector<Partition> partitions;
  for (int row = 0; row < result.rows(); ++row) {
    partitions.push_back({.name = std::string(result.text(row, 0)),
                          .leaf = result.boolean(row, 1)});
  }
  return partitions;
}

bool is_partitioned(pg::Connection& connection, Oid shadow) {
  return connection
      .exec(
          "SELECT relkind = 'p' FROM pg_catalog.pg_class"
          " WHERE oid = $1::pg_catalog.oid",
          {shadow})
      .boolean(0, 0);
}

std::string partition_grants(const std::string& called) {
  return fmt::format("grant on partition {} ", called);
}

catalog::Facts read_partition_facts(pg::Connection& connection, Oid root) {
  return catalog::facts_of(connection.exec(kFacts, {root}));
}

std::vector<Refusal> unlike_partitions(pg::Connection& connection,
                                       const catalog::Table& source,
                                       Oid shadow) {
  const catalog::Facts is = read_partition_facts(connection, source.oid);
  const catalog::Facts made = read_partition_facts(connection, shadow);
  std::vector<Refusal> refusals;
  const auto refuse = [&](const std::string& fact, const std::string& how) {
    refusals.push_back(
        {.what = fmt::format("{}: {} {}", source.name.display(), fact, how),
         .remedy =
             "give the partition what the whole table has, or drop it, and "
             "make it again after the migration"});
  };
  const pg::Result invalid = connection.exec(
      "SELECT pg_catalog.min(c.relname::pg_catalog.text)"
      " FROM pg_catalog.pg_index i"
      " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
      " WHERE i.indrelid = $1::pg_catalog.oid AND NOT i.indisvalid",
      {source.oid});
  if (!invalid.is_null(0, 0)) {
    refuse(fmt::format("index {}", invalid.text(0, 0)),
           "is invalid, since not every partition has it");
  }
  for (const auto& [fact, value] : is) {
    if (is_owner(fact)) {
      if (value == source.owner) continue;
      refuse(fact, fmt::format("is {}, and not that of the table", value));
      continue;
    }
    if (is_grant(fact) || is_index_name(fact)) continue;
    const auto found = made.find(fact);
    if (found == made.end()) {
      refuse(fact, fmt::format("is its own ({}), and would be lost", value));
    } else if (found->second != value) {
      refuse(fact, fmt::format("is '{}', and would become '{}'", value,
                               found->second));
    }
  }
  for (const auto& [fact, value] : made) {
    if (is_owner(fact) || is_grant(fact) || is_index_name(fact)) continue;
    if (is.contains(fact)) continue;
    refuse(fact, fmt::format("is missing, and would come ({})", value));
  }
  return refusals;
}

std::map<std::string, std::string> partition_shape(pg::Connection& connection,
                                                   Oid root) {
  auto facts = read_partition_facts(connection, root);
  std::erase_if(facts, [](const auto& fact) { return is_grant(fact.first); });
  return facts;
}

std::vector<std::string> changed_partitions(pg::Connection& connection,
                                            const TableTarget& target,
                                            Oid source) {
  std::vector<std::string> lines = catalog::differences(
      target.source_partitions, partition_shape(connection, source));
  for (std::string& line : lines) {
    line = fmt::format("{}: {}", target.source.display(), line);
  }
  return lines;
}

std::vector<std::string> column_grants(const catalog::Facts& facts) {
  std::vector<std::string> lines;
  for (const auto& [fact, value] : facts) {
    if (!fact.starts_with("column grant on partition ")) continue;
    lines.push_back(
        fmt::format("{} ({}) has come, and is not carried over", fact, value));
  }
  return lines;
}

std::vector<std::string> restored_index_names(pg::Connection& connection,
                                              Oid source, Oid shadow) {
  const pg::Result other = connection.exec(kOtherNames, {source, shadow});
  std::vector<std::string> away;
  std::vector<std::string> back;
  for (int row = 0; row < other.rows(); ++row) {
    // Two may have each other's.
    const std::string between = fmt::format("pgrecast_name_{}", row);
    away.push_back(fmt::format(
        "ALTER INDEX {} RENAME TO {}",
        pg::quote_qualified(other.text(row, 0), other.text(row, 1)), between));
    back.push_back(fmt::format("ALTER INDEX {} RENAME TO {}",
                               pg::quote_qualified(other.text(row, 0), between),
                               pg::quote_identifier(other.text(row, 2))));
  }
  away.insert(away.end(), back.begin(), back.end());
  return away;
}

ShadowIndex our_key_index(const TableTarget& target) {
  std::vector<std::string> columns;
  for (const std::string& column : target.shadow_key) {
    columns.push_back(pg::quote_identifier(column));
  }
  ShadowIndex index = target.key_index;
  index.unique = !target.partitioned();
  const auto names = target.key_index_names();
  std::size_t heap = 0;
  for (const catalog::QualifiedName& name : target.heaps()) {
    std::string create = fmt::format(
        "CREATE {}INDEX {}{} ON {} ({})", index.unique ? "UNIQUE " : "",
        heap == 0 ? "" : "IF NOT EXISTS ",  // what follows may be repeated
        pg::quote_identifier(names.at(heap)), name.quoted(),
        join(columns, ", "));
    if (heap++ == 0) {
      index.create = std::move(create);
    } else {
      index.then.push_back(std::move(create));
    }
  }
  return index;
}

std::vector<Refusal> unfit_for_partitions(pg::Connection& connection,
                                          const catalog::Table& source,
                                          Oid shadow) {
  const pg::Result result = connection.exec(kUnfit, {source.oid, shadow});
  std::vector<Refusal> refusals;
  for (int row = 0; row < result.rows(); ++row) {
    refusals.push_back({.what = fmt::format("{}: {}", source.name.display(),
                                            result.text(row, 0)),
                        .remedy = std::string(result.text(row, 1))});
  }
  return refusals;
}

void own_partitions(pg::Connection& connection, const TableTarget& target,
                    Oid shadow) {
  const pg::Result owner = connection.exec(
      "SELECT pg_catalog.pg_get_userbyid(relowner), pg_catalog.pg_get_userbyid("
      "relowner) = current_user FROM pg_catalog.pg_class"
      " WHERE oid = $1::pg_catalog.oid",
      {shadow});
  for (const Partition& partition : target.partitions) {
    revoke_from_others(connection, target, partition);
    if (owner.boolean(0, 1)) continue;
    connection.exec(
        fmt::format("ALTER TABLE {} OWNER TO {}",
                    pg::quote_qualified(target.shadow.schema, partition.name),
                    pg::quote_identifier(owner.text(0, 0))));
  }
}

}  // namespace pgrecast::plan
