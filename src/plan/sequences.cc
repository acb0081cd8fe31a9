#include "sequences.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

namespace pgrecast::plan {
namespace {

// sequence, its type, its last value, column; the narrow ones only.
constexpr const char* kNarrow = R"sql(
SELECT pg_catalog.format('%I.%I', n.nspname, s.relname), q.seqtypid,
       pg_catalog.format_type(q.seqtypid, -1), q.seqmax, a.attname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.oid AND d.deptype = 'a'
  AND q.seqtypid IN ('pg_catalog.int2'::pg_catalog.regtype,
                     'pg_catalog.int4'::pg_catalog.regtype)
ORDER BY 1)sql";

constexpr catalog::Oid kInt8 = 20;
constexpr catalog::Oid kInt2 = 21;
constexpr catalog::Oid kInt4 = 23;
constexpr catalog::Oid kNumeric = 1700;

bool holds_more(catalog::Oid column, catalog::Oid sequence) {
  if (column == kInt8 || column == kNumeric) return true;
  return column == kInt4 && sequence == kInt2;
}

constexpr const char* kBorrowed = R"sql(
SELECT c.attname, i.attname, s.oid::pg_catalog.regclass
FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute c ON c.attrelid = d.adrelid AND c.attnum = d.adnum
JOIN pg_catalog.pg_depend p
  ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
 AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_depend o
  ON o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objid = s.oid
 AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.deptype = 'i'
JOIN pg_catalog.pg_attribute i ON i.attrelid = o.refobjid AND i.attnum = o.refobjsubid
WHERE d.adrelid = $2::pg_catalog.oid AND o.refobjid = $1::pg_catalog.oid
ORDER BY c.attnum)sql";

}  // namespace

std::vector<std::string> narrow_sequences(pg::Connection& connection,
                                          const catalog::Table& source,
                                          catalog::Oid clone,
                                          const TableTarget& target) {
  std::vector<std::string> lines;
  const pg::Result narrow = connection.exec(kNarrow, {source.oid});
  if (narrow.empty()) return lines;
  const auto columns = catalog::read_columns(connection, clone);
  for (int row = 0; row < narrow.rows(); ++row) {
    const std::string before(narrow.text(row, 4));
    const auto renamed = target.renamed.find(before);
    const auto column = std::ranges::find(
        columns, renamed == target.renamed.end() ? before : renamed->second,
        &catalog::Column::name);
    if (column == columns.end()) continue;
    const catalog::Column* old = source.column(before);
    // What was so before is not the script's affair.
    if (old != nullptr && old->type_oid == column->type_oid) continue;
    if (!holds_more(column->base_type_oid,
                    narrow.number<catalog::Oid>(row, 1))) {
      continue;
    }
    lines.push_back(fmt::format(
        "{}.{} becomes {}, but sequence {}, which fills it, stays {} and ends "
        "at {}, as it would by hand: ALTER SEQUENCE {} AS bigint",
        source.name.display(), column->name, column->type, narrow.text(row, 0),
        narrow.text(row, 2), narrow.text(row, 3), narrow.text(row, 0)));
  }
  return lines;
}

std::vector<Refusal> borrowed_identities(pg::Connection& connection,
                                         const catalog::Table& source,
                                         catalog::Oid clone) {
  std::vector<Refusal> refusals;
  const pg::Result borrowed = connection.exec(kBorrowed, {source.oid, clone});
  for (int row = 0; row < borrowed.rows(); ++row) {
    refusals.push_back(
        {.what = fmt::format(
             "the default of {}.{} draws from {}, the sequence of the identity "
             "of column {}, which stays with the old table",
             source.name.display(), borrowed.text(row, 0),
             borrowed.text(row, 2), borrowed.text(row, 1)),
         .remedy = "leave the identity to its column, or use a sequence that "
                   "no identity owns"});
  }
  return refusals;
}

std::optional<std::string> sequence_drawn_from(pg::Connection& connection,
                                               const TableTarget& target,
                                               const catalog::Table& source) {
  std::set<std::string, std::less<>> old;
  for (const catalog::Column& column : source.columns) {
    const auto renamed = target.renamed.find(column.name);
    old.insert(renamed == target.renamed.end() ? column.name : renamed->second);
  }
  const pg::Result found = connection.exec(
      R"sql(
SELECT a.attname, s.oid::pg_catalog.regclass
FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_catalog.pg_depend p
  ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
 AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE d.adrelid = $1::pg_catalog.regclass AND n.nspname <> $2)sql",
      {target.shadow.quoted(), target.shadow.schema});
  for (int row = 0; row < found.rows(); ++row) {
    if (!old.contains(found.text(row, 0))) {
      return std::string(found.text(row, 1));
    }
  }
  return std::nullopt;
}

}  // namespace pgrecast::plan
