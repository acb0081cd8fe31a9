#include "scenarios/twin/compare.h"

namespace pgrecast::test {
namespace {

constexpr int kExamples = 5;
constexpr int kExampleBytes = 400;  // a large document need not be read

long one_way(Session& session, const std::string& from,
             const std::string& minus, const char* label,
             std::vector<std::string>& examples) {
  // COLLATE "C": the database's collation may be slow, and hides nothing.
  const std::string image =
      "SELECT compared_row::text COLLATE \"C\" AS image FROM ({}) AS "
      "compared_row";
  const Rows rows = session.query_rows(fmt::format(
      "SELECT count(*) OVER (), left(image, {}) FROM ({} EXCEPT ALL {}) AS d "
      "ORDER BY image LIMIT {}",
      kExampleBytes, fmt::format(fmt::runtime(image), from),
      fmt::format(fmt::runtime(image), minus), kExamples));
  for (const Row& row : rows) {
    examples.push_back(fmt::format("{}: {}", label, row[1]));
  }
  return rows.empty() ? 0 : std::stol(rows.front()[0]);
}

}  // namespace

std::string Differences::text() const {
  std::string text =
      fmt::format("{} rows missing, {} rows too many", missing, surplus);
  for (const std::string& example : examples) text += "\n  " + example;
  return text;
}

Differences compare_rows(Session& session, const std::string& expected_select,
                         const std::string& actual_select) {
  Differences differences;
  session.exec("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  session.exec("SET LOCAL work_mem = '256MB'");
  differences.missing = one_way(session, expected_select, actual_select,
                                "missing", differences.examples);
  differences.surplus = one_way(session, actual_select, expected_select,
                                "surplus", differences.examples);
  session.exec("COMMIT");
  return differences;
}

std::string shape_of(Session& session, const std::string& table) {
  std::string text;
  const Rows rows = session.query_rows(
      "SELECT format('%s %s %s %s %s', attname, "
      "format_type(atttypid, atttypmod), attcollation::regcollation, "
      "CASE WHEN attnotnull THEN 'not null' ELSE 'null' END, "
      "pg_get_expr(adbin, adrelid)) "
      "FROM pg_attribute LEFT JOIN pg_attrdef "
      "ON adrelid = attrelid AND adnum = attnum "
      "WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped "
      "ORDER BY attnum",
      table);
  for (const Row& row : rows) text += row[0] + "\n";
  return text;
}

std::vector<std::string> indexes_of(Session& session,
                                    const std::string& table) {
  std::vector<std::string> names;
  const Rows rows = session.query_rows(
      "SELECT '\"' || replace(relname, '\"', '\"\"') || '\"' AS name "
      "FROM pg_index "
      "JOIN pg_class ON pg_class.oid = indexrelid "
      "WHERE indrelid = $1::regclass AND indisvalid "
      "ORDER BY ('\"' || replace(relname, '\"', '\"\"') || '\"') COLLATE \"C\"",
      table);
  for (const Row& row : rows) names.push_back(row[0]);
  return names;
}

}  // namespace pgrecast::test
