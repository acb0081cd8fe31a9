#include "pgrecast/catalog/table.h"

#include "pgrecast/base/error.h"
#include "pgrecast/pg/quote.h"

#include "key_problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pgrecast::catalog {
namespace {

// Built-in types by their hand-assigned OIDs (pg_type.dat), which never change.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kChar = 18;
constexpr Oid kName = 19;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kMacaddr = 829;
constexpr Oid kVarchar = 1043;
constexpr Oid kDate = 1082;
constexpr Oid kTime = 1083;
constexpr Oid kTimestamp = 1114;
constexpr Oid kTimestamptz = 1184;
constexpr Oid kUuid = 2950;

KeyForm form_of(Oid base_type) {
  switch (base_type) {
    case kInt2:
      return KeyForm::kInt2;
    case kInt4:
      return KeyForm::kInt4;
    case kInt8:
      return KeyForm::kInt8;
    case kOid:
      return KeyForm::kOid;
    case kUuid:
      return KeyForm::kUuid;
    case kDate:
    case kTimestamp:
    case kTimestamptz:
      return KeyForm::kTimestamp;
    default:
      return KeyForm::kRaw;
  }
}

bool has_one_form(Oid base_type, bool is_enum, bool collation_deterministic) {
  constexpr std::array kCanonical = {
      kBool, kBytea, kChar,      kInt8,        kInt2, kInt4, kOid,  kMacaddr,
      kDate, kTime,  kTimestamp, kTimestamptz, kUuid, kName, kText, kVarchar};
  if (is_enum) return true;
  return collation_deterministic &&
         std::ranges::find(kCanonical, base_type) != kCanonical.end();
}

// The replica identity's index; under FULL the primary key or else any unique
// index that identifies rows at all times.
constexpr const char* kKeyIndexQuery = R"sql(
SELECT i.indexrelid, ic.relname,
       CASE WHEN NOT i.indisunique THEN 'it is not unique'
            WHEN NOT i.indisvalid THEN 'it is invalid'
            WHEN NOT i.indimmediate THEN 'it is deferrable'
            WHEN i.indpred IS NOT NULL THEN 'it is partial'
            WHEN i.indexprs IS NOT NULL THEN 'it has expressions'
            WHEN EXISTS (SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS n
                         JOIN pg_catalog.pg_attribute a
                           ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
                         WHERE NOT a.attnotnull OR EXISTS (
                           SELECT FROM pg_catalog.pg_constraint nn
                           WHERE nn.conrelid = a.attrelid AND nn.contype = 'n'
                             AND nn.conkey[1] = a.attnum AND NOT nn.convalidated))
              THEN 'its columns may be NULL'
            WHEN i.indisexclusion THEN 'it is an exclusion constraint'
       END AS problem
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = $1::pg_catalog.oid
  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary
                          WHEN 'i' THEN i.indisreplident
                          WHEN 'f' THEN i.indisunique
                          ELSE false END
ORDER BY (i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
          AND i.indexprs IS NULL) DESC, i.indisprimary DESC, i.indnkeyatts, ic.relname)sql";

constexpr const char* kKeyColumnsQuery = R"sql(
WITH RECURSIVE base AS (
  SELECT t.oid AS type, t.oid AS base, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
  UNION ALL
  SELECT base.type, t.oid, t.typtype, t.typbasetype
  FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype
  WHERE base.typtype = 'd'),
operators AS (
  SELECT ao.amopfamily AS family, ao.amoplefttype AS type, ao.amopstrategy AS strategy,
         pg_catalog.quote_ident(n.nspname) || '.' || o.oprname AS name
  FROM pg_catalog.pg_amop ao JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
  WHERE ao.amoplefttype = ao.amoprighttype AND ao.amopmethod = 403)
SELECT a.attname, a.attnum, pg_catalog.format_type(base.base, -1), base.base,
       base.typtype = 'e', COALESCE(co.collisdeterministic, true) AND oc.oid < 16384,
       equals.name, less.name, less_equal.name, greater.name
FROM pg_catalog.pg_index i
CROSS JOIN pg_catalog.generate_series(0, i.indnkeyatts - 1) AS at
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[at]
JOIN base ON base.type = a.atttypid AND base.typtype <> 'd'
JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[at]
JOIN operators equals ON equals.family = oc.opcfamily AND equals.type = oc.opcintype
  AND equals.strategy = 3
JOIN operators less ON less.family = oc.opcfamily AND less.type = oc.opcintype
  AND less.strategy = 1
JOIN operators less_equal ON less_equal.family = oc.opcfamily
  AND less_equal.type = oc.opcintype AND less_equal.strategy = 2
JOIN operators greater ON greater.family = oc.opcfamily AND greater.type = oc.opcintype
  AND greater.strategy = 5
LEFT JOIN pg_catalog.pg_collation co ON co.oid = i.indcollation[at]
WHERE i.indexrelid = $1::pg_catalog.oid
ORDER BY at)sql";

// Its rows are published as the root's, each with the replica identity of its
// own leaf: that is the key only where nobody set another one.
std::string partitions_problem(pg::Connection& connection, Oid root) {
  const pg::Result other = connection.exec(R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION ALL
  SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT pg_catalog.min(c.relname::pg_catalog.text)
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
WHERE c.relreplident <> 'd')sql",
                                           {root});
  if (other.is_null(0, 0)) return "";
  return fmt::format("{} has a replica identity other than the default",
                     other.text(0, 0));
}

void read_key(pg::Connection& connection, Table& table) {
  if (table.partitioned()) {
    table.key_problem = partitions_problem(connection, table.oid);
    if (!table.key_problem.empty()) return;
  }
  if (table.replica_identity == 'n') {
    table.key_problem = "its replica identity is NOTHING";
    return;
  }
  const pg::Result indexes = connection.exec(kKeyIndexQuery, {table.oid});
  if (indexes.empty()) {
    table.key_problem = table.replica_identity == 'i'
                            ? "its replica identity's index is gone"
                            : "it has no primary key";
    return;
  }
  if (!indexes.is_null(0, 2)) {
    table.key_problem = fmt::format("its key is the index {}, but {}",
                                    indexes.text(0, 1), indexes.text(0, 2));
    return;
  }
  Key key;
  key.index = indexes.number<Oid>(0, 0);
  if (const auto problem = key_columns_problem(connection, key.index);
      !problem.empty()) {
    table.key_problem = fmt::format("its key is the index {}, but {}",
                                    indexes.text(0, 1), problem);
    return;
  }
  key.index_name = indexes.text(0, 1);
  key.replica_identity_full = table.replica_identity == 'f';
  const pg::Result columns = connection.exec(kKeyColumnsQuery, {key.index});
  for (int row = 0; row < columns.rows(); ++row) {
    const auto base_type = columns.number<Oid>(row, 3);
    key.columns.push_back(
        {.name = std::string(columns.text(row, 0)),
         .attnum = columns.number<int>(row, 1),
         .type = std::string(columns.text(row, 2)),
         .equals = fmt::format("OPERATOR({})", columns.text(row, 6)),
         .less = fmt::format("OPERATOR({})", columns.text(row, 7)),
         .less_equal = fmt::format("OPERATOR({})", columns.text(row, 8)),
         .greater = fmt::format("OPERATOR({})", columns.text(row, 9)),
         .form = form_of(base_type),
         .one_form = has_one_form(base_type, columns.boolean(row, 4),
                                  columns.boolean(row, 5))});
  }
  if (table.partitioned() && !key.one_form()) {
    table.key_problem =
        "a value of its key may be written in several ways, which is not "
        "supported in partitioned tables";
    return;
  }
  table.key = std::move(key);
}

}  // namespace

std::string QualifiedName::quoted() const {
  return pg::quote_qualified(schema, name);
}

std::string QualifiedName::display() const {
  return schema + "." + name;
}

bool Key::one_form() const {
  return std::ranges::all_of(columns, &KeyColumn::one_form);
}

const Column* Table::column(std::string_view column_name) const {
  const auto found = std::ranges::find(columns, column_name, &Column::name);
  return found == columns.end() ? nullptr : &*found;
}

std::string Table::whole() const {
  return (partitioned() ? "" : "ONLY ") + name.quoted();
}

std::optional<Oid> find_relation(pg::Connection& connection,
                                 const std::optional<std::string>& schema,
                                 const std::string& name) {
  const std::string text =
      schema ? pg::quote_qualified(*schema, name) : pg::quote_identifier(name);
  const pg::Result result = connection.exec(
      "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", {text});
  if (result.is_null(0, 0)) return std::nullopt;
  return result.number<Oid>(0, 0);
}

std::vector<Column> read_columns(pg::Connection& connection, Oid oid) {
  const pg::Result result = connection.exec(R"sql(
WITH RECURSIVE base AS (
  SELECT a.attnum, t.oid AS type, t.typtype, t.typbasetype,
         a.atttypmod AS modifier, t.typtypmod
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT base.attnum, t.oid, t.typtype, t.typbasetype, base.typtypmod, t.typtypmod
  FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype
  WHERE base.typtype = 'd')
SELECT a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.format_type(base.type,
         CASE WHEN base.type = ANY ('{1042,1043,1560,1562,1014,1015,1561,1563}'::pg_catalog.oid[]) THEN -1
              ELSE base.modifier END),
       a.atttypid, base.type, a.attcollation, a.atttypmod, a.attnotnull,
       a.attgenerated <> '', a.attidentity <> '',
       CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
       base.modifier
FROM pg_catalog.pg_attribute a
JOIN base ON base.attnum = a.attnum AND base.typtype <> 'd'
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum)sql",
                                            {oid});
  std::vector<Column> columns;
  for (int row = 0; row < result.rows(); ++row) {
    columns.push_back({.attnum = result.number<int>(row, 0),
                       .name = std::string(result.text(row, 1)),
                       .type = std::string(result.text(row, 2)),
                       .cast_type = std::string(result.text(row, 3)),
                       .type_oid = result.number<Oid>(row, 4),
                       .base_type_oid = result.number<Oid>(row, 5),
                       .collation = result.number<Oid>(row, 6),
                       .type_modifier = result.number<int>(row, 7),
                       .base_modifier = result.number<int>(row, 12),
                       .not_null = result.boolean(row, 8),
                       .generated = result.boolean(row, 9),
                       .identity = result.boolean(row, 10),
                       .default_expression = result.optional_text(row, 11)});
  }
  return columns;
}

Table read_table(pg::Connection& connection, Oid oid) {
  const pg::Result result = connection.exec(R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT c.oid FROM pg_catalog.pg_class c
  WHERE c.oid = $1::pg_catalog.oid AND c.relkind = 'p'
  UNION ALL
  SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), c.relkind,
       c.relpersistence, c.relreplident, c.relispartition,
       (SELECT COALESCE(pg_catalog.sum(GREATEST(l.reltuples, 0)), 0)::pg_catalog.int8
        FROM pg_catalog.pg_class l
        WHERE l.relkind <> 'p' AND (l.oid = c.oid OR l.oid IN (SELECT tree.oid FROM tree))),
       (SELECT pg_catalog.sum(pg_catalog.pg_table_size(l.oid))::pg_catalog.int8
        FROM pg_catalog.pg_class l
        WHERE l.oid = c.oid OR l.oid IN (SELECT tree.oid FROM tree)),
       COALESCE((SELECT i.inhparent FROM pg_catalog.pg_inherits i
                 WHERE i.inhrelid = c.oid AND c.relispartition), 0),
       EXISTS (SELECT FROM pg_catalog.pg_inherits i
               WHERE i.inhrelid = c.oid AND NOT c.relispartition),
       EXISTS (SELECT FROM pg_catalog.pg_inherits i
               WHERE i.inhparent = c.oid AND c.relkind = 'r')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1::pg_catalog.oid)sql",
                                            {oid});
  if (result.empty()) {
    throw SourceChanged(fmt::format("there is no table of OID {}", oid));
  }
  Table table;
  table.oid = oid;
  table.name = {.schema = std::string(result.text(0, 0)),
                .name = std::string(result.text(0, 1))};
  table.owner = result.text(0, 2);
  table.kind = result.text(0, 3).front();
  table.persistence = result.text(0, 4).front();
  table.replica_identity = result.text(0, 5).front();
  table.is_partition = result.boolean(0, 6);
  table.rows_estimate = static_cast<double>(result.number<std::int64_t>(0, 7));
  table.bytes = result.is_null(0, 8) ? 0 : result.number<std::int64_t>(0, 8);
  table.parent = result.number<Oid>(0, 9);
  table.inherits = result.boolean(0, 10);
  table.is_parent = result.boolean(0, 11);
  table.columns = read_columns(connection, oid);
  read_key(connection, table);
  return table;
}

std::int64_t count_blocks(pg::Connection& connection, Oid oid) {
  return connection
      .exec(
          "SELECT pg_catalog.pg_relation_size($1::pg_catalog.oid) / "
          "pg_catalog.current_setting('block_size')::pg_catalog.int8",
          {oid})
      .number<std::int64_t>(0, 0);
}

std::vector<Heap> read_leaves(pg::Connection& connection, Oid root) {
  const pg::Result result = connection.exec(R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = $1::pg_catalog.oid
  UNION ALL
  SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT c.oid, n.nspname, c.relname,
       pg_catalog.pg_relation_size(c.oid)
         / pg_catalog.current_setting('block_size')::pg_catalog.int8
FROM tree
JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid)sql",
                                            {root});
  std::vector<Heap> heaps;
  for (int row = 0; row < result.rows(); ++row) {
    heaps.push_back({.oid = result.number<Oid>(row, 0),
                     .name = {.schema = std::string(result.text(row, 1)),
                              .name = std::string(result.text(row, 2))},
                     .blocks = result.number<std::int64_t>(row, 3)});
  }
  return heaps;
}

}  // namespace pgrecast::catalog
