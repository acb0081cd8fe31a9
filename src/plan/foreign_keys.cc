#include "foreign_keys.h"

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/partitions.h"

#include "key_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace pgrecast::plan {
namespace {

using catalog::Column;
using catalog::Oid;

// Foreign keys that touch one of the tables $1, whose clones are $2, but for
// those of tables $3 that are called $4. What is referenced, and what
// references it: the clone where there is one.
constexpr const char* kTouching = R"sql(
WITH moved AS (
  SELECT m.source, m.clone FROM ROWS FROM (
    pg_catalog.unnest($1::pg_catalog.oid[]),
    pg_catalog.unnest($2::pg_catalog.oid[])) AS m(source, clone)),
touching AS (
  SELECT c.*, tm.clone AS from_clone, fm.clone AS to_clone,
         pg_catalog.format('%I.%I', tn.nspname, t.relname) AS from_name,
         pg_catalog.format('%I.%I', fn.nspname, f.relname) AS to_name
  FROM pg_catalog.pg_constraint c
  JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_catalog.pg_class f ON f.oid = c.confrelid
  JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
  LEFT JOIN moved tm ON tm.source = c.conrelid
  LEFT JOIN moved fm ON fm.source = c.confrelid
  WHERE c.contype = 'f' AND c.conparentid = 0
    AND (tm.source IS NOT NULL OR fm.source IS NOT NULL)
    AND NOT EXISTS (
      SELECT FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.oid[]),
                             pg_catalog.unnest($4::pg_catalog.text[]))
        AS dropped(source, name)
      WHERE dropped.source = c.conrelid AND dropped.name = c.conname))
)sql";

// Pairs of columns of which the referenced one changes its type.
constexpr const char* kChangedPairs = R"sql(
SELECT c.conname, c.from_name, c.to_name, a.attname, b.attname,
       pg_catalog.quote_ident(a.attname), pg_catalog.quote_ident(b.attname),
       COALESCE(c.from_clone, c.conrelid), c.to_clone
FROM touching c
CROSS JOIN LATERAL ROWS FROM (
  pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey)) AS k(a, b)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.a
JOIN pg_catalog.pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.b
JOIN pg_catalog.pg_attribute n
  ON n.attrelid = c.to_clone AND n.attname = b.attname AND NOT n.attisdropped
WHERE (n.atttypid, n.atttypmod) IS DISTINCT FROM (b.atttypid, b.atttypmod)
ORDER BY c.from_name, c.conname, k.a)sql";

// How each is made again. The definition that the server prints names the
// referenced table right behind REFERENCES; that part alone is exchanged, and
// only if it is exactly what it must be.
constexpr const char* kDefinitions = R"sql(
SELECT c.conname, c.from_name, c.conrelid, c.from_clone,
       c.to_name, c.confrelid, c.to_clone,
       CASE WHEN pg_catalog.starts_with(d.text, d.head || c.to_name || '(')
            THEN d.head END,
       pg_catalog.substr(d.text, pg_catalog.length(d.head || c.to_name) + 1)
       || CASE WHEN c.convalidated AND NOT EXISTS (  -- which takes none
              SELECT FROM pg_catalog.pg_class k
              WHERE k.oid = c.from_clone AND k.relkind = 'p')
            THEN ' NOT VALID' ELSE '' END,
       pg_catalog.has_table_privilege(c.conrelid, 'SELECT'),
       pg_catalog.has_table_privilege(c.confrelid, 'SELECT')
FROM touching c
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_constraintdef(c.oid) AS text,
         'FOREIGN KEY (' || pg_catalog.string_agg(
           CASE WHEN pg_catalog.to_jsonb(c)->>'conperiod' = 'true'
                 AND k.n = pg_catalog.cardinality(c.conkey)
                THEN 'PERIOD ' ELSE '' END
           || pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.n)
         || ') REFERENCES ' AS head
  FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k(a, n)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.a
) AS d
ORDER BY c.from_name, c.conname)sql";

std::string oid_array(const std::vector<Oid>& oids) {
  std::vector<std::string> texts;
  texts.reserve(oids.size());
  for (const Oid oid : oids) texts.push_back(std::to_string(oid));
  return pg::array_literal(texts);
}

class ForeignKeys {
 public:
  ForeignKeys(pg::Connection& connection, const std::vector<FoldTable>& tables,
              const std::vector<TableTarget>& targets)
      : connection_(connection),
        targets_(targets),
        schema_(tables.front().shadow.schema) {
    std::vector<Oid> sources;
    std::vector<Oid> clones;
    std::vector<Oid> dropped_from;
    std::vector<std::string> dropped;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const FoldTable& table = tables[i];
      for (const std::string& name : targets[i].dropped_foreign_keys) {
        dropped_from.push_back(table.source.oid);
        dropped.push_back(name);
      }
      sources.push_back(table.source.oid);
      clones.push_back(catalog::find_relation(connection, table.shadow.schema,
                                              table.shadow.name)
                           .value());
      clone_names_[clones.back()] = table.shadow.quoted();
    }
    touched_ = {oid_array(sources), oid_array(clones), oid_array(dropped_from),
                pg::array_literal(dropped)};
  }

  std::vector<Refusal> problems() && {
    connection_.exec("SAVEPOINT foreign_keys");
    for (const TableTarget& target : targets_) give_old_names(target);
    check_widths();
    make_each();
    connection_.exec("ROLLBACK TO SAVEPOINT foreign_keys");
    return std::move(problems_);
  }

 private:
  // The definitions name the columns as the sources have them. What bears such
  // a name by now, and is another column, makes room.
  void give_old_names(const TableTarget& target) {
    const auto rename = [&](const std::string& from, const std::string& to) {
      connection_.exec(fmt::format(
          "ALTER TABLE {} RENAME COLUMN {} TO {}", target.shadow.quoted(),
          pg::quote_identifier(from), pg::quote_identifier(to)));
    };
    int number = 0;
    for (const auto& [old, now] : target.renamed) {
      rename(now, fmt::format("pgrecast_renamed_{}", number++));
    }
    number = 0;
    for (const auto& [old, now] : target.renamed) {
      const bool taken =
          !connection_
               .exec(
                   "SELECT FROM pg_catalog.pg_attribute WHERE attname = $2 AND"
                   " attrelid = $1::pg_catalog.regclass AND NOT attisdropped",
                   {target.shadow.quoted(), old})
               .empty();
      if (taken) rename(old, fmt::format("pgrecast_other_{}", number));
      rename(fmt::format("pgrecast_renamed_{}", number++), old);
    }
  }

  std::optional<Column> column(Oid table, const std::string& name) {
    auto found = columns_.find(table);
    if (found == columns_.end()) {
      found = columns_.emplace(table, catalog::read_columns(connection_, table))
                  .first;
    }
    const auto known = std::ranges::find(found->second, name, &Column::name);
    if (known == found->second.end()) return std::nullopt;
    return *known;
  }

  void check_widths() {
    const pg::Result pairs =
        connection_.exec(std::string(kTouching) + kChangedPairs, touched_);
    std::set<std::string> told;
    for (int row = 0; row < pairs.rows(); ++row) {
      auto from = column(pairs.number<Oid>(row, 7), text(pairs, row, 3));
      const auto to = column(pairs.number<Oid>(row, 8), text(pairs, row, 4));
      if (!from || !to) continue;       // dropped or renamed: refused by itself
      from->collation = to->collation;  // which decides nothing here
      if (!key_conversion_problem(*to, *from)) continue;
      const std::string statement =
          fmt::format("ALTER TABLE {} ALTER COLUMN {} TYPE {}",
                      pairs.text(row, 1), pairs.text(row, 5), to->type);
      if (!told.insert(statement).second) continue;
      problems_.push_back(
          {.what = fmt::format(
               "{}.{} becomes {}, and {}.{}, which references it (foreign key "
               "{}), is {}: it could not hold every value of the new key",
               pairs.text(row, 2), pairs.text(row, 6), to->type,
               pairs.text(row, 1), pairs.text(row, 5), pairs.text(row, 0),
               from->type),
           .remedy = fmt::format("add to the script: {};", statement)});
    }
  }

  void make_each() {
    const pg::Result all =
        connection_.exec(std::string(kTouching) + kDefinitions, touched_);
    for (int row = 0; row < all.rows(); ++row) {
      if (all.is_null(row, 7)) {
        problems_.push_back(
            {.what = fmt::format("the definition of foreign key {} of {} "
                                 "cannot be read",
                                 all.text(row, 0), all.text(row, 1)),
             .remedy = "please report it, with the definition of the key"});
        continue;
      }
      const auto from = place(all, row, 2, all.boolean(row, 9));
      const auto to = place(all, row, 5, all.boolean(row, 10));
      // Without the right to look at it; then the exchange is the first to ask.
      if (!from || !to) continue;
      make(all, row,
           fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}{}{}", *from,
                       pg::quote_identifier(all.text(row, 0)), all.text(row, 7),
                       *to, all.text(row, 8)));
    }
  }

  void make(const pg::Result& all, int row, const std::string& statement) {
    connection_.exec("SAVEPOINT foreign_key");
    try {
      connection_.exec(statement);
      connection_.exec("RELEASE SAVEPOINT foreign_key");
    } catch (const pg::SqlError& error) {
      connection_.exec("ROLLBACK TO SAVEPOINT foreign_key");
      const bool by_parts =
          !all.is_null(row, 6) &&
          error.sqlstate() == pg::sqlstate::kInvalidForeignKey &&
          is_partitioned(connection_, all.number<Oid>(row, 6));
      problems_.push_back(
          {.what = fmt::format("foreign key {} of {} to {} cannot be made "
                               "again with the new shape: {}",
                               all.text(row, 0), all.text(row, 1),
                               all.text(row, 4), error.what()),
           .remedy = by_parts
                         ? "PARTITION BY columns that it refers to, which "
                           "then stay a unique key; or drop it beforehand"
                         : "change the columns at both ends in the same "
                           "script, and keep the unique constraint that it "
                           "needs; or drop the foreign key beforehand"});
    }
  }

  // The clone, or an empty table like it, of the table in columns `at`.
  std::optional<std::string> place(const pg::Result& all, int row, int at,
                                   bool readable) {
    if (!all.is_null(row, at + 1)) {
      return clone_names_.at(all.number<Oid>(row, at + 1));
    }
    if (!readable) return std::nullopt;
    const Oid oid = all.number<Oid>(row, at);
    const auto known = clone_names_.find(oid);
    if (known != clone_names_.end()) return known->second;
    const std::string name =
        pg::quote_qualified(schema_, fmt::format("pgrecast_like_{}", oid));
    connection_.exec(fmt::format("CREATE TABLE {} (LIKE {} INCLUDING INDEXES)",
                                 name, all.text(row, at - 1)));
    return clone_names_.emplace(oid, name).first->second;
  }

  static std::string text(const pg::Result& result, int row, int column) {
    return std::string(result.text(row, column));
  }

  pg::Connection& connection_;
  const std::vector<TableTarget>& targets_;
  std::string schema_;
  std::vector<pg::Param> touched_;
  std::map<Oid, std::string> clone_names_;  // and those of stand-ins
  std::map<Oid, std::vector<Column>> columns_;
  std::vector<Refusal> problems_;
};

}  // namespace

std::vector<Refusal> foreign_key_problems(
    pg::Connection& connection, const std::vector<FoldTable>& tables,
    const std::vector<TableTarget>& targets) {
  return ForeignKeys(connection, tables, targets).problems();
}

bool stand_in_for_foreign_key(pg::Connection& connection, Oid source,
                              Oid clone_oid,
                              const catalog::QualifiedName& clone,
                              const std::string& name) {
  const pg::Result found = connection.exec(
      "SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = $3"
      " AND c.conrelid = $1::pg_catalog.oid AND c.contype = 'f'"
      " AND c.conparentid = 0 AND NOT EXISTS ("
      "  SELECT FROM pg_catalog.pg_constraint n WHERE n.conname = $3"
      "   AND n.conrelid = $2::pg_catalog.oid)",
      {source, clone_oid, name});
  if (found.empty()) return false;
  connection.exec(
      fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK (true) NOT VALID",
                  clone.quoted(), pg::quote_identifier(name)));
  return true;
}

}  // namespace pgrecast::plan
