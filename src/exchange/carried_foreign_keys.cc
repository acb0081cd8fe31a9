// Foreign keys out of, into and within the sources, and those that the script
// adds. All go, and are made again NOT VALID, which checks every write from
// then on; validated afterwards.

#include "pgrecast/pg/quote.h"

#include "carried.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace pgrecast::exchange {
namespace {

using catalog::Oid;

// constraint, drop, add, validate, comment, both ends, name, definition,
// whether the referencing table is partitioned now.
constexpr const char* kForeignKeys = R"sql(
SELECT c.oid,
       pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname,
                         t.relname, c.conname),
       pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s%s', n.nspname,
         t.relname, c.conname, pg_catalog.pg_get_constraintdef(c.oid),
         CASE WHEN c.convalidated THEN ' NOT VALID' ELSE '' END),
       CASE WHEN c.convalidated THEN pg_catalog.format(
         'ALTER TABLE %I.%I VALIDATE CONSTRAINT %I', n.nspname, t.relname,
         c.conname) END,
       'COMMENT ON CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' ON '
         || pg_catalog.format('%I.%I', n.nspname, t.relname) || ' IS '
         || pg_catalog.quote_literal(
              pg_catalog.obj_description(c.oid, 'pg_constraint')),
       c.conrelid, pg_catalog.format('%I.%I', n.nspname, t.relname),
       c.confrelid, pg_catalog.format('%I.%I', fn.nspname, ft.relname),
       c.conname, pg_catalog.pg_get_constraintdef(c.oid), t.relkind = 'p'
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class ft ON ft.oid = c.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = ft.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0
  AND $1::pg_catalog.oid IN (c.conrelid, c.confrelid)
ORDER BY c.oid)sql";

// name, name without its schema. $1: their table, $2: another schema.
constexpr const char* kLeaves = R"sql(
SELECT pg_catalog.format('%I.%I', COALESCE($2, n.nspname), c.relname),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t
JOIN pg_catalog.pg_class c ON c.oid = t.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid)sql";

void append(std::vector<std::string>& to, std::string statement) {
  if (!statement.empty()) to.push_back(std::move(statement));
}

// Takes in the foreign keys of the leaves, all of which are valid; where one is
// not, whoever validated it tells. Done twice, it does nothing.
std::string make_whole(const Carried::LeafKeys& keys) {
  const std::string body = fmt::format(
      R"sql(
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_partition_tree({0}::pg_catalog.regclass) AS t
    JOIN pg_catalog.pg_constraint c ON c.conrelid = t.relid
    WHERE c.contype = 'f' AND c.conname = {1}
      AND (NOT c.convalidated OR t.level = 0)) THEN RETURN; END IF;
  ALTER TABLE {2} ADD CONSTRAINT {3} {4};
END)sql",
      pg::quote_literal(keys.table), pg::quote_literal(keys.name), keys.table,
      pg::quote_identifier(keys.name), keys.definition);
  return "DO " + pg::quote_literal(body);
}

class ForeignKeys {
 public:
  ForeignKeys(pg::Connection& connection,
              const std::vector<ExchangeTable>& tables, Carried& carried)
      : connection_(connection), tables_(tables), carried_(carried) {}

  void carry() && {
    for (const ExchangeTable& table : tables_) of(table);
    for (const ExchangeTable& table : tables_) added_to(table);
  }

 private:
  void of(const ExchangeTable& table);
  void added_to(const ExchangeTable& table);
  void lock_other(Oid oid, const std::string& name);
  bool drops(Oid referencing, const std::string& name) const;
  std::vector<Carried::LeafKeys::Leaf> leaves_of(Oid table, bool partitioned);
  void make_on_leaves(const pg::Result& keys, int row,
                      std::vector<Carried::LeafKeys::Leaf> leaves);

  bool is_source(Oid oid) const {
    return std::ranges::find(tables_, oid, &ExchangeTable::source_oid) !=
           tables_.end();
  }

  pg::Connection& connection_;
  const std::vector<ExchangeTable>& tables_;
  Carried& carried_;
  std::set<Oid> seen_;  // constraints: one may touch two sources
};

void ForeignKeys::of(const ExchangeTable& table) {
  const pg::Result result = connection_.exec(kForeignKeys, {table.source_oid});
  for (int row = 0; row < result.rows(); ++row) {
    if (!seen_.insert(result.number<Oid>(row, 0)).second) continue;
    carried_.before.emplace_back(result.text(row, 1));
    const bool dropped =
        drops(result.number<Oid>(row, 5), std::string(result.text(row, 9)));
    if (dropped) {
      carried_.dropped_references.insert(fmt::format(
          "referenced by {} {}", result.text(row, 6), result.text(row, 9)));
    }
    auto leaves =
        leaves_of(result.number<Oid>(row, 5), result.boolean(row, 11));
    if (!dropped && !leaves.empty() && !result.is_null(row, 3)) {
      make_on_leaves(result, row, std::move(leaves));
    } else if (!dropped) {
      carried_.after.emplace_back(result.text(row, 2));
      append(carried_.afterwards, std::string(result.text(row, 3)));
      append(carried_.after, std::string(result.text(row, 4)));
    }
    for (const int end : {5, 7}) {
      lock_other(result.number<Oid>(row, end),
                 std::string(result.text(row, end + 1)));
    }
  }
}

void ForeignKeys::lock_other(Oid oid, const std::string& name) {
  const auto& known = carried_.other_oids;
  if (is_source(oid) || std::ranges::find(known, oid) != known.end()) return;
  carried_.other_oids.push_back(oid);
  carried_.other_tables.push_back(name);
}

// By name: who is called so now is meant.
void ForeignKeys::added_to(const ExchangeTable& table) {
  for (const plan::AddedForeignKey& key : table.target->added_foreign_keys) {
    const std::string source = table.target->source.quoted();
    const std::string name = pg::quote_identifier(key.name);
    const auto other = catalog::find_relation(
        connection_, key.referenced.schema, key.referenced.name);
    // An exchange has looked before (Exchange::require_references).
    if (!other) continue;
    lock_other(*other, key.referenced.quoted());
    if (!is_source(*other)) carried_.added_references.push_back(*other);
    carried_.after.push_back(
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", source,
                    name, key.definition));
    if (key.validated) {
      carried_.afterwards.push_back(
          fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", source, name));
    }
    Inventory& facts = carried_.added_facts[table.source_oid];
    facts["foreign key " + key.name] = key.definition;
    if (key.comment) {
      carried_.after.push_back(
          fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", name, source,
                      pg::quote_literal(*key.comment)));
      facts["foreign key comment " + key.name] = *key.comment;
    }
    if (*other == table.source_oid) continue;
    // As the server quotes.
    const pg::Result quoted = connection_.exec(
        "SELECT $1::pg_catalog.oid::pg_catalog.regclass", {table.source_oid});
    carried_.added_facts[*other][fmt::format("referenced by {} {}",
                                             quoted.text(0, 0), key.name)] =
        key.definition + (key.comment ? " -- " + *key.comment : "");
  }
}

// Whether the script does. Either end of one may be met first.
bool ForeignKeys::drops(Oid referencing, const std::string& name) const {
  const auto ours =
      std::ranges::find(tables_, referencing, &ExchangeTable::source_oid);
  return ours != tables_.end() &&
         ours->target->dropped_foreign_keys.contains(name);
}

// Those that the table will have, as they are called after the exchange; none
// of one that will not be partitioned.
std::vector<Carried::LeafKeys::Leaf> ForeignKeys::leaves_of(Oid table,
                                                            bool partitioned) {
  const auto ours =
      std::ranges::find(tables_, table, &ExchangeTable::source_oid);
  const bool is_ours = ours != tables_.end();
  if (is_ours ? !ours->target->partitioned() : !partitioned) return {};
  std::vector<Carried::LeafKeys::Leaf> leaves;
  const pg::Result result = connection_.exec(
      kLeaves, {is_ours ? ours->shadow_oid : table,
                is_ours ? pg::Param(ours->target->source.schema)
                        : pg::Param(std::nullopt)});
  for (int row = 0; row < result.rows(); ++row) {
    leaves.push_back({.name = std::string(result.text(row, 0)),
                      .called = std::string(result.text(row, 1))});
  }
  return leaves;
}

void ForeignKeys::make_on_leaves(const pg::Result& keys, int row,
                                 std::vector<Carried::LeafKeys::Leaf> leaves) {
  Carried::LeafKeys made;
  made.referencing = keys.number<Oid>(row, 5);
  made.referenced = keys.number<Oid>(row, 7);
  made.table = keys.text(row, 6);
  made.name = keys.text(row, 9);
  made.definition = keys.text(row, 10);
  made.leaves = std::move(leaves);
  const std::string name = pg::quote_identifier(made.name);
  for (const auto& leaf : made.leaves) {
    carried_.after.push_back(
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", leaf.name,
                    name, made.definition));
    carried_.afterwards.push_back(
        fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", leaf.name, name));
  }
  carried_.afterwards.push_back(make_whole(made));
  append(carried_.afterwards, std::string(keys.text(row, 4)));
  carried_.leaf_keys.push_back(std::move(made));
}

}  // namespace

void carry_foreign_keys(pg::Connection& connection,
                        const std::vector<ExchangeTable>& tables,
                        Carried& carried) {
  ForeignKeys(connection, tables, carried).carry();
}

}  // namespace pgrecast::exchange
