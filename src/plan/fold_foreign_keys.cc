#include "pgrecast/base/text.h"
#include "pgrecast/pg/array.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/added_foreign_keys.h"
#include "pgrecast/plan/partitions.h"

#include "folder.h"
#include "foreign_keys.h"
#include "short_wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {
namespace {

using catalog::Column;
using catalog::Oid;

// The foreign keys of the clone $1. $2: what they lead to, $3: what is meant by
// that. The definition names the other table right behind REFERENCES; that part
// alone is exchanged, and only if it is exactly what it must be. The conditions
// are the server's own, which it compares with when it checks a foreign key.
constexpr const char* kAdded = R"sql(
SELECT c.conname, rn.nspname, r.relname, r.oid,
       CASE WHEN pg_catalog.starts_with(d.text, d.head || d.there || '(') THEN
         pg_catalog.concat(d.head, pg_catalog.format('%I.%I', rn.nspname, r.relname),
           pg_catalog.regexp_replace(pg_catalog.substr(d.text,
             pg_catalog.length(d.head || d.there) + 1), ' NOT VALID$', '')) END,
       c.convalidated, pg_catalog.obj_description(c.oid, 'pg_constraint'),
       d.refers, d.matches, d.columns, d.referenced
FROM pg_catalog.pg_constraint c
JOIN ROWS FROM (pg_catalog.unnest($2::pg_catalog.oid[]),
                pg_catalog.unnest($3::pg_catalog.oid[])) AS place(oid, meant)
  ON place.oid = c.confrelid
JOIN pg_catalog.pg_class r ON r.oid = place.meant
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = c.confrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_constraintdef(c.oid) AS text,
         'FOREIGN KEY (' || pg_catalog.string_agg(
           pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.n)
         || ') REFERENCES ' AS head,
         pg_catalog.format('%I.%I', tn.nspname, t.relname) AS there,
         pg_catalog.string_agg(
           pg_catalog.format('s.%I IS NOT NULL', a.attname),
           CASE c.confmatchtype WHEN 'f' THEN ' OR ' ELSE ' AND ' END
           ORDER BY k.n) AS refers,
         pg_catalog.string_agg(
           pg_catalog.format('u.%I OPERATOR(%I.%s) s.%I%s', b.attname,
             opn.nspname, op.oprname, a.attname,
             CASE WHEN co.oid IS NOT NULL THEN pg_catalog.format(
               ' COLLATE %I.%I', con.nspname, co.collname) END),
           ' AND ' ORDER BY k.n) AS matches,
         pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY k.n) AS columns,
         pg_catalog.array_agg(b.attname::pg_catalog.text ORDER BY k.n)
           AS referenced
  FROM ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey),
                  pg_catalog.unnest(c.conpfeqop))
         WITH ORDINALITY AS k(a, b, op, n)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.a
  JOIN pg_catalog.pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.b
  JOIN pg_catalog.pg_operator op ON op.oid = k.op
  JOIN pg_catalog.pg_namespace opn ON opn.oid = op.oprnamespace
  LEFT JOIN pg_catalog.pg_collation co
    ON co.oid = b.attcollation AND a.attcollation <> b.attcollation
  LEFT JOIN pg_catalog.pg_namespace con ON con.oid = co.collnamespace) AS d
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'f'
ORDER BY c.oid)sql";

// What constraints in schema $1 are called as the server calls foreign keys,
// but for those of tables $2, which their clones have or the script drops: of
// these, foreign keys that are not named $3 (of table $4).
constexpr const char* kTakenNames = R"sql(
SELECT DISTINCT c.conname
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
WHERE n.nspname = $1 AND c.conname ~ '_fkey[0-9]*$'
  AND (c.conrelid <> ALL ($2::pg_catalog.oid[])
       OR (c.contype = 'f' AND NOT EXISTS (
             SELECT FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),
                                    pg_catalog.unnest($4::pg_catalog.oid[]))
               AS dropped(name, source)
             WHERE dropped.source = c.conrelid AND dropped.name = c.conname))))sql";

// Of the clone $1 and the source $3, what refers to them: name, from which
// table, whether the script has added it, and whether rows there change with
// those here, of which column $2 (of the source, $4) is set or, where that is
// NULL, which are deleted.
constexpr const char* kReferences = R"sql(
SELECT c.conname, c.conrelid, c.conrelid::pg_catalog.regclass, c.confrelid = $1::pg_catalog.oid,
       CASE WHEN $2::pg_catalog.text IS NULL THEN c.confdeltype ELSE c.confupdtype END
         IN ('c', 'n', 'd')
FROM pg_catalog.pg_constraint c
JOIN (VALUES ($1::pg_catalog.oid, $2::pg_catalog.text),
             ($3::pg_catalog.oid, $4::pg_catalog.text)) AS here(oid, attname)
  ON here.oid = c.confrelid
WHERE c.contype = 'f' AND c.conparentid = 0
  AND ($2::pg_catalog.text IS NULL OR EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.confrelid AND a.attname = here.attname
      AND a.attnum = ANY (c.confkey)))
ORDER BY 2, 1)sql";

struct ForeignKeyOnClone {
  Oid oid = 0;
  std::string name;
};

std::vector<ForeignKeyOnClone> foreign_keys_on(pg::Connection& connection,
                                               Oid clone) {
  const pg::Result found = connection.exec(
      "SELECT oid, conname FROM pg_catalog.pg_constraint"
      " WHERE conrelid = $1::pg_catalog.oid AND contype = 'f' ORDER BY oid",
      {clone});
  std::vector<ForeignKeyOnClone> keys;
  for (int row = 0; row < found.rows(); ++row) {
    keys.push_back({.oid = found.number<Oid>(row, 0),
                    .name = std::string(found.text(row, 1))});
  }
  return keys;
}

// By hand it takes REFERENCES; the exchange locks the other table, too.
std::optional<Refusal> missing_rights(pg::Connection& connection,
                                      Oid referenced,
                                      const AddedForeignKey& key) {
  const pg::Result rights = connection.exec(
      "SELECT pg_catalog.has_table_privilege($1::pg_catalog.oid, 'UPDATE, "
      "DELETE, TRUNCATE') AND (pg_catalog.has_table_privilege("
      "$1::pg_catalog.oid, 'REFERENCES') OR (SELECT pg_catalog.bool_and("
      "pg_catalog.has_column_privilege($1::pg_catalog.oid, c, 'REFERENCES')) "
      "FROM pg_catalog.unnest($2::pg_catalog.text[]) AS c))",
      {referenced, pg::array_literal(key.referenced_columns)});
  if (rights.boolean(0, 0)) return std::nullopt;
  return Refusal{
      .what = fmt::format("foreign key {} refers to {}, for which the rights "
                          "on that do not suffice",
                          key.name, key.referenced.display()),
      .remedy = "grant REFERENCES and UPDATE (for LOCK TABLE) on it"};
}

// On the clone the name is free that one of the source's has, which comes
// along.
std::optional<Refusal> taken_name(pg::Connection& connection,
                                  const Folding& folding,
                                  const std::string& name) {
  const pg::Result found = connection.exec(
      "SELECT FROM pg_catalog.pg_constraint WHERE conname = $1"
      " AND conrelid = $2::pg_catalog.oid AND contype = 'f'",
      {name, folding.table->source.oid});
  if (found.empty() || folding.dropped_foreign_keys.contains(name)) {
    return std::nullopt;
  }
  return Refusal{
      .what = fmt::format("{} has a foreign key {} already",
                          folding.table->source.name.display(), name),
      .remedy = "choose another name, or drop that one before"};
}

// Lets the server say whether rows can be looked for as it will be done before
// the exchange.
void try_look(pg::Connection& connection, const catalog::QualifiedName& shadow,
              const AddedForeignKey& key,
              const catalog::QualifiedName& referenced) {
  TableTarget target;
  target.shadow = shadow;
  target.shadow_key = key.columns;
  connection.exec("SAVEPOINT try_look");
  try {
    connection.exec(unmatched_rows(target, key, referenced.quoted(), "true"));
  } catch (const pg::SqlError& error) {
    connection.exec("ROLLBACK TO SAVEPOINT try_look");
    throw Refused(
        fmt::format("rows that foreign key {} could refer to cannot be looked "
                    "for: {}",
                    key.name, error.what()),
        "add it after the migration");
  }
  connection.exec("RELEASE SAVEPOINT try_look");
}

}  // namespace

// The clone has no foreign keys: the statement would fail there, or, with IF
// EXISTS, do nothing without a word, and the exchange carry the constraint
// over.
void Folder::refuse_foreign_key(const Folding& folding, std::size_t offset,
                                const std::string& name) {
  const pg::Result found = connection_->exec(
      "SELECT FROM pg_catalog.pg_constraint WHERE conname = $1"
      " AND conrelid = $2::pg_catalog.oid AND contype = 'f'",
      {name, folding.table->source.oid});
  if (found.empty() || folding.dropped_foreign_keys.contains(name)) return;
  refuse(offset,
         fmt::format("{} is a foreign key, which a migration carries over as "
                     "it is",
                     name),
         "change it before or after the migration: that needs no rewrite");
}

// The source's, once, unless the script has named the whole shape: that has
// none.
void Folder::drop_foreign_key(Folding& folding, std::size_t offset,
                              const std::string& name) {
  if (!folding.recreated && !folding.dropped_foreign_keys.contains(name) &&
      stand_in_for_foreign_key(*connection_, folding.table->source.oid,
                               folding.shadow_oid, folding.table->shadow,
                               name)) {
    folding.dropped_foreign_keys.insert(name);
    return;
  }
  refuse_foreign_key(folding, offset, name);
}

// As by hand, a column takes the foreign keys along that it is a part of.
void Folder::drop_foreign_keys_of_lost_columns(Folding& folding) {
  if (folding.recreated) return;
  const pg::Result keys = connection_->exec(
      "SELECT c.conname, a.attname FROM pg_catalog.pg_constraint c"
      " JOIN pg_catalog.pg_attribute a"
      "  ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
      " WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'f'"
      "  AND c.conparentid = 0 ORDER BY c.conname",
      {folding.table->source.oid});
  for (int row = 0; row < keys.rows(); ++row) {
    const auto column = std::ranges::find(
        folding.at_first, keys.text(row, 1),
        [](const Column& one) -> std::string_view { return one.name; });
    if (column == folding.at_first.end() ||
        find_attnum(folding.columns, column->attnum) != nullptr ||
        !folding.dropped_foreign_keys.emplace(keys.text(row, 0)).second) {
      continue;
    }
    folding.changes.push_back(
        fmt::format("foreign key {} dropped with column {}", keys.text(row, 0),
                    column->name));
  }
}

std::string Folder::place_of_referenced(const script::AddedForeignKey& key,
                                        const Folding& folding) {
  const script::TableName& name = key.referenced;
  const auto oid = settings_.find_relation(name.schema, name.name);
  if (!oid) {
    refuse(name.span.begin, fmt::format("there is no table {}", name.name),
           "correct the name, or qualify it with its schema, which the role "
           "must be allowed to use");
  }
  const auto ours = std::ranges::find(
      foldings_, *oid,
      [](const Folding& other) { return other.table->source.oid; });
  if (ours == foldings_.end()) return stand_in(name, *oid, folding);
  if (is_partitioned(*connection_, ours->shadow_oid)) {
    refuse(name.span.begin,
           fmt::format("{} is partitioned, and of this script: it cannot be "
                       "referred to before the exchange",
                       name.name),
           "add the foreign key after the migration");
  }
  return ours->table->shadow.quoted();
}

// No lock of ours on a table of the application's is to hinder anybody: the
// foreign key would keep its writers out. An empty table that has the same
// columns and unique indexes tells the same.
std::string Folder::stand_in(const script::TableName& name, Oid oid,
                             const Folding& folding) {
  if (const auto known = stand_ins_.find(oid); known != stand_ins_.end()) {
    return known->second.quoted();
  }
  const pg::Result facts = connection_->exec(
      "SELECT n.nspname, c.relname, c.relkind IN ('r', 'p') AND n.nspname <> "
      "'pg_catalog', c.relpersistence = 'p', pg_catalog.has_table_privilege("
      "c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid),"
      " pg_catalog.current_setting('lock_timeout')"
      " FROM pg_catalog.pg_class c"
      " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
      " WHERE c.oid = $1::pg_catalog.oid",
      {oid});
  const catalog::QualifiedName real{.schema = std::string(facts.text(0, 0)),
                                    .name = std::string(facts.text(0, 1))};
  const auto refuse_it = [&](const char* what, const char* remedy) {
    refuse(name.span.begin, fmt::format("{} {}", real.display(), what), remedy);
  };
  if (!facts.boolean(0, 2)) {
    refuse_it("is no table of rows that can be referred to",
              "name the table that holds the rows");
  }
  if (!facts.boolean(0, 3)) {
    refuse_it("is unlogged or temporary, and others may not refer to it",
              "ALTER TABLE .. SET LOGGED first");
  }
  if (!facts.boolean(0, 4)) {
    refuse_it(
        "is referred to, and may not be read by the role, which looks "
        "there for what rows refer to",
        "GRANT SELECT ON it TO the role");
  }
  if (facts.boolean(0, 5)) {
    refuse_it("is referred to, and its policies hide rows from the role",
              "ALTER ROLE .. BYPASSRLS for the role that migrates");
  }
  catalog::QualifiedName place{.schema = folding.table->shadow.schema,
                               .name = real.name};
  if (catalog::find_relation(*connection_, place.schema, place.name)) {
    place.name = fmt::format("pgrecast_like_{}", oid);
  }
  wait_for_seconds(*connection_, oid, real.display(), [&] {
    connection_->exec(fmt::format("CREATE TABLE {} (LIKE {} INCLUDING INDEXES)",
                                  place.quoted(), real.quoted()));
  });
  connection_->exec("SELECT pg_catalog.set_config('lock_timeout', $1, true)",
                    {facts.text(0, 6)});
  stand_ins_.emplace(oid, place);
  return place.quoted();
}

std::optional<std::string> Folder::take_constraint_names(
    const Folding& folding) {
  std::vector<std::string> sources;
  std::vector<std::string> dropped;
  std::vector<std::string> dropped_from;
  for (const Folding& other : foldings_) {
    sources.push_back(std::to_string(other.table->source.oid));
    for (const std::string& name : other.dropped_foreign_keys) {
      dropped.push_back(name);
      dropped_from.push_back(sources.back());
    }
  }
  const pg::Result taken = connection_->exec(
      kTakenNames,
      {folding.table->source.name.schema, pg::array_literal(sources),
       pg::array_literal(dropped), pg::array_literal(dropped_from)});
  if (taken.empty()) return std::nullopt;
  std::vector<std::string> constraints;
  for (int row = 0; row < taken.rows(); ++row) {
    constraints.push_back(
        fmt::format("CONSTRAINT {} CHECK (true)",
                    pg::quote_identifier(taken.text(row, 0))));
  }
  std::string name =
      pg::quote_qualified(folding.table->shadow.schema, "pgrecast taken names");
  connection_->exec(
      fmt::format("CREATE TABLE {} ({})", name, join(constraints, ", ")));
  return name;
}

void Folder::run_alter_table(const script::Statement& statement,
                             Folding& folding, const script::AlterTable& body) {
  if (body.foreign_keys.empty()) return run_on_clone(statement, folding);
  if (is_partitioned(*connection_, folding.shadow_oid) ||
      folding.table->source.is_leaf()) {
    refuse(statement.span.begin,
           "a foreign key is added to a partitioned table, or to a partition",
           "add it after the migration");
  }
  std::vector<std::string> referenced;
  bool unnamed = false;
  for (const script::AddedForeignKey& key : body.foreign_keys) {
    if (const auto taken = taken_name(*connection_, folding, key.name)) {
      refuse(body.subcommands[key.subcommand].span.begin, taken->what,
             taken->remedy);
    }
    referenced.push_back(place_of_referenced(key, folding));
    unnamed = unnamed || key.name.empty();
  }
  const auto before = foreign_keys_on(*connection_, folding.shadow_oid);
  const auto taken =
      unnamed ? take_constraint_names(folding) : std::optional<std::string>();
  run_script_sql(statement,
                 script_->with_tables_replaced(
                     statement, folding.table->shadow.quoted(), referenced));
  if (taken) connection_->exec("DROP TABLE " + *taken);
  for (const ForeignKeyOnClone& key :
       foreign_keys_on(*connection_, folding.shadow_oid)) {
    if (std::ranges::find(before, key.oid, &ForeignKeyOnClone::oid) !=
        before.end()) {
      continue;
    }
    foreign_keys_of_[statement.span.begin].push_back(key.name);
    // A type change makes those on its column anew.
    if (std::ranges::find(before, key.name, &ForeignKeyOnClone::name) ==
        before.end()) {
      folding.changes.push_back(fmt::format("foreign key {} added", key.name));
    }
  }
}

// A row filter and a SELECT list know nothing of other tables' rows.
void Folder::refuse_cascade(std::size_t offset, const Folding& folding,
                            const std::string* column) {
  const auto is_called = [&](const Column& one) {
    return column != nullptr && one.name == *column;
  };
  const auto now = std::ranges::find_if(folding.columns, is_called);
  const Column* at_first = now == folding.columns.end()
                               ? nullptr
                               : find_attnum(folding.at_first, now->attnum);
  const bool sets_new_column = column != nullptr && at_first == nullptr;
  const pg::Result found = connection_->exec(
      kReferences,
      {folding.shadow_oid,
       column == nullptr ? pg::Param(std::nullopt) : pg::Param(*column),
       sets_new_column ? catalog::Oid{} : folding.table->source.oid,
       at_first == nullptr ? pg::Param(std::nullopt)
                           : pg::Param(at_first->name)});
  for (int row = 0; row < found.rows(); ++row) {
    const std::string name(found.text(row, 0));
    const auto of = std::ranges::find(
        foldings_, found.number<Oid>(row, 1),
        [](const Folding& one) { return one.table->source.oid; });
    if (of != foldings_.end() && of->dropped_foreign_keys.contains(name)) {
      continue;
    }
    const bool added = found.boolean(row, 3);
    if (found.boolean(row, 4)) {
      refuse(offset,
             fmt::format("by hand this changes rows that refer to it, by "
                         "foreign key {}{}",
                         name,
                         added ? ", which the script has added"
                               : fmt::format(" of {}", found.text(row, 2))),
             added ? "put it before the statement that adds the foreign key"
                   : "change those rows before the migration, and drop the "
                     "foreign key in the script, or make its action NO ACTION");
    }
    if (!added) {
      notes_.push_back(fmt::format(
          "rows of {} may refer to some that the script deletes or changes, by "
          "foreign key {}: by hand that is an error, here it is found after "
          "the exchange (code 10)",
          found.text(row, 2), name));
    }
  }
}

// The clone that has them, or is referred to, makes room for another.
void Folder::refuse_references_to(const script::Statement& statement,
                                  const Folding& folding) {
  const pg::Result found = connection_->exec(
      "SELECT conname FROM pg_catalog.pg_constraint WHERE contype = 'f'"
      " AND $1::pg_catalog.oid IN (conrelid, confrelid) ORDER BY conname",
      {folding.shadow_oid});
  if (found.empty()) return;
  refuse(statement.span.begin,
         fmt::format("foreign key {}, which the script has added, is gone with "
                     "the old shape",
                     found.text(0, 0)),
         "add it behind CREATE TABLE");
}

// At the script's end the clones lose them: a shadow has none. All are read
// before the first is dropped.
void Folder::take_foreign_keys() {
  std::vector<std::string> places;
  std::vector<std::string> meant;
  for (const Folding& folding : foldings_) {
    places.push_back(std::to_string(folding.shadow_oid));
    meant.push_back(std::to_string(folding.table->source.oid));
  }
  for (const auto& [oid, place] : stand_ins_) {
    places.push_back(std::to_string(
        catalog::find_relation(*connection_, place.schema, place.name)
            .value()));
    meant.push_back(std::to_string(oid));
  }
  std::vector<std::string> drops;
  for (Folding& folding : foldings_) {
    const pg::Result keys = connection_->exec(
        kAdded, {folding.shadow_oid, pg::array_literal(places),
                 pg::array_literal(meant)});
    for (int row = 0; row < keys.rows(); ++row) {
      AddedForeignKey key;
      key.name = keys.text(row, 0);
      key.referenced = {.schema = std::string(keys.text(row, 1)),
                        .name = std::string(keys.text(row, 2))};
      if (keys.is_null(row, 4)) {
        throw Refused(fmt::format("the definition of foreign key {} cannot be "
                                  "read",
                                  key.name),
                      "please report it, with the script");
      }
      key.definition = keys.text(row, 4);
      key.validated = keys.boolean(row, 5);
      key.comment = keys.optional_text(row, 6);
      key.refers = keys.text(row, 7);
      key.matches = keys.text(row, 8);
      key.columns = pg::array_elements(*connection_, keys.text(row, 9));
      key.referenced_columns =
          pg::array_elements(*connection_, keys.text(row, 10));
      drops.push_back(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}",
                                  folding.table->shadow.quoted(),
                                  pg::quote_identifier(key.name)));
      if (auto taken = taken_name(*connection_, folding, key.name)) {
        refusals_.push_back(std::move(*taken));
      }
      const auto oid = keys.number<Oid>(row, 3);
      const auto other = stand_ins_.find(oid);
      if (other != stand_ins_.end()) {
        if (auto refusal = missing_rights(*connection_, oid, key)) {
          refusals_.push_back(std::move(*refusal));
        }
        try_look(*connection_, folding.table->shadow, key, other->second);
      } else {
        const auto ours = std::ranges::find(
            foldings_, oid,
            [](const Folding& one) { return one.table->source.oid; });
        try_look(*connection_, folding.table->shadow, key, ours->table->shadow);
      }
      folding.added_foreign_keys.push_back(std::move(key));
    }
  }
  if (!refusals_.empty()) throw Refused(std::move(refusals_));
  for (const std::string& drop : drops) connection_->exec(drop);
  for (const auto& [oid, place] : stand_ins_) {
    connection_->exec("DROP TABLE " + place.quoted());
  }
}

}  // namespace pgrecast::plan
