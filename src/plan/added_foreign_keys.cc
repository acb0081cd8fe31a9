#include "pgrecast/plan/added_foreign_keys.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::plan {
namespace {

// $1: the table, quoted; $2: the columns that are to be unique. Whether it is
// a table, whether they are, and whether we may still refer to it.
constexpr const char* kReferenced = R"sql(
SELECT c.relkind IN ('r', 'p'), EXISTS (
  SELECT FROM pg_catalog.pg_index i
  WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL
    AND (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text
                  ORDER BY a.attname::pg_catalog.text COLLATE "C")
         FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS n
         JOIN pg_catalog.pg_attribute a
           ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n])
        OPERATOR(pg_catalog.=)
        (SELECT pg_catalog.array_agg(k ORDER BY k COLLATE "C")
         FROM pg_catalog.unnest($2::pg_catalog.text[]) AS k))
FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass($1)::pg_catalog.oid)sql";

std::string shown(const std::vector<std::string>& columns) {
  std::vector<std::string> texts;
  for (const std::string& column : columns) {
    texts.push_back(fmt::format("COALESCE(s.{}::pg_catalog.text, 'NULL')",
                                pg::quote_identifier(column)));
  }
  return fmt::format("pg_catalog.concat_ws(', ', {})", join(texts, ", "));
}

}  // namespace

std::string unmatched_rows(const TableTarget& target,
                           const AddedForeignKey& key,
                           const std::string& referenced,
                           const std::string& condition) {
  return fmt::format(
      "SELECT {}, {} || {} || ')' FROM ONLY {} AS s WHERE ({}) AND ({}) AND "
      "NOT EXISTS (SELECT FROM {} AS u WHERE {})",
      shown(target.shadow_key),
      pg::quote_literal(fmt::format("({})=(", join(key.columns, ", "))),
      shown(key.columns), target.shadow.quoted(), condition, key.refers,
      referenced, key.matches);
}

std::vector<std::string> lost_references(
    pg::Connection& connection,
    const std::vector<const TableTarget*>& targets) {
  std::vector<std::string> lines;
  for (const TableTarget* target : targets) {
    for (const AddedForeignKey& key : target->added_foreign_keys) {
      const bool ours = std::ranges::any_of(targets, [&](const auto* other) {
        return other->source == key.referenced;
      });
      if (ours) continue;
      const pg::Result found = connection.exec(
          kReferenced,
          {key.referenced.quoted(), pg::array_literal(key.referenced_columns)});
      const bool there = !found.empty() && found.boolean(0, 0);
      if (there && found.boolean(0, 1)) continue;
      lines.push_back(fmt::format(
          "foreign key {} of {}: {} {}", key.name, target->source.display(),
          key.referenced.display(),
          there ? fmt::format("has no unique constraint on ({}) any more",
                              join(key.referenced_columns, ", "))
                : "is gone"));
    }
  }
  return lines;
}

}  // namespace pgrecast::plan
