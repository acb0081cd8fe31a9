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

// constraint, drop, add, whether it is validated, comment; the referencing
// table, its name, whether it is partitioned now; the referenced one likewise;
// name, definition.
constexpr const char* kForeignKeys = R"sql(
SELECT c.oid,
       pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname,
                         t.relname, c.conname),
       pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s%s', n.nspname,
         t.relname, c.conname, pg_catalog.pg_get_constraintdef(c.oid),
         CASE WHEN c.convalidated THEN ' NOT VALID' ELSE '' END),
       c.convalidated,
       'COMMENT ON CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' ON '
         || pg_catalog.format('%I.%I', n.nspname, t.relname) || ' IS '
         || pg_catalog.quote_literal(
              pg_catalog.obj_description(c.oid, 'pg_constraint')),
       c.conrelid, pg_catalog.format('%I.%I', n.nspname, t.relname),
       t.relkind = 'p',
       c.confrelid, pg_catalog.format('%I.%I', fn.nspname, ft.relname),
       ft.relkind = 'p',
       c.conname, pg_catalog.pg_get_constraintdef(c.oid)
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
// not, whoever validated it tells. A partition that came since the exchange has
// none yet: it gets one here, so that the whole table's needs no look at it
// under its lock, which is stronger. Done twice, it does nothing.
std::string make_whole(const Carried::LeafKeys& keys) {
  const std::string body = fmt::format(
      R"sql(
DECLARE
  leaf pg_catalog.regclass;
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_partition_tree({0}::pg_catalog.regclass) AS t
    JOIN pg_catalog.pg_constraint c ON c.conrelid = t.relid
    WHERE c.contype = 'f' AND c.conname = {1}
      AND (NOT c.convalidated OR t.level = 0)) THEN RETURN; END IF;
  FOR leaf IN
    SELECT t.relid FROM pg_catalog.pg_partition_tree({0}::pg_catalog.regclass) AS t
    JOIN pg_catalog.pg_class r ON r.oid = t.relid AND r.relkind = 'r'
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c
                      WHERE c.conrelid = t.relid AND c.contype = 'f'
                        AND c.conname = {1})
  LOOP
    EXECUTE pg_catalog.format(
      'ALTER TABLE %1$s ADD CONSTRAINT %2$I %3$s NOT VALID;'
      'ALTER TABLE %1$s VALIDATE CONSTRAINT %2$I', leaf, {1}, {5});
  END LOOP;
  ALTER TABLE {2} ADD CONSTRAINT {3} {4};
END)sql",
      pg::quote_literal(keys.table), pg::quote_literal(keys.name), keys.table,
      pg::quote_identifier(keys.name), keys.definition,
      pg::quote_literal(keys.definition));
  return "DO " + pg::quote_literal(body);
}

// Before 18 the server takes no foreign key NOT VALID on a partitioned table.
constexpr int kTakesWholeNotValid = 180000;

// The leaves have it, each validated by itself, and so the table has it without
// a look at any row. Where one is not valid, whoever validated it tells.
std::string validate_whole(const std::string& table, const std::string& name) {
  const std::string body = fmt::format(
      R"sql(
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_partition_tree({0}::pg_catalog.regclass) AS t
    JOIN pg_catalog.pg_constraint c ON c.conrelid = t.relid
    WHERE c.contype = 'f' AND c.conname = {1} AND t.isleaf
      AND NOT c.convalidated) THEN RETURN; END IF;
  ALTER TABLE {2} VALIDATE CONSTRAINT {3};
END)sql",
      pg::quote_literal(table), pg::quote_literal(name), table,
      pg::quote_identifier(name));
  return "DO " + pg::quote_literal(body);
}

std::string validate(const std::string& table, const std::string& name) {
  return fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", table,
                     pg::quote_identifier(name));
}

struct ForeignKey {
  std::string drop;
  std::string add;  // NOT VALID
  bool validated = false;
  std::string comment;  // a statement, or nothing
  Oid referencing = 0;
  std::string table;  // that one, quoted as the server does it
  bool of_partitioned = false;
  Oid referenced = 0;
  std::string referenced_table;
  bool to_partitioned = false;
  std::string name;
  std::string definition;
};

ForeignKey read_key(const pg::Result& result, int row) {
  const auto text = [&](int column) {
    return std::string(result.text(row, column));
  };
  ForeignKey key;
  key.drop = text(1);
  key.add = text(2);
  key.validated = result.boolean(row, 3);
  key.comment = text(4);
  key.referencing = result.number<Oid>(row, 5);
  key.table = text(6);
  key.of_partitioned = result.boolean(row, 7);
  key.referenced = result.number<Oid>(row, 8);
  key.referenced_table = text(9);
  key.to_partitioned = result.boolean(row, 10);
  key.name = text(11);
  key.definition = text(12);
  return key;
}

class ForeignKeys {
 public:
  ForeignKeys(pg::Connection& connection,
              const std::vector<ExchangeTable>& tables, Carried& carried)
      : connection_(connection), tables_(tables), carried_(carried) {}

  void carry() && {
    read();
    for (const ForeignKey& key : keys_) {
      carried_.before.push_back(key.drop);
      lock_other(key.referencing, key.table);
      lock_other(key.referenced, key.referenced_table);
    }
    std::erase_if(keys_, [&](const ForeignKey& key) { return drops(key); });
    hold_names();
    for (const ForeignKey& key : keys_) {
      release(key.table, key.name);
      make(key);
    }
    for (const ExchangeTable& table : tables_) added_to(table);
  }

 private:
  using Held = std::pair<std::string, std::string>;  // table, name

  void read();
  bool drops(const ForeignKey& key);
  void hold_names();
  void release(const std::string& table, const std::string& name);
  void make(const ForeignKey& key);
  void make_on_leaves(const ForeignKey& key);
  std::vector<Carried::LeafKeys::Leaf> leaves_of(Oid table);
  void added_to(const ExchangeTable& table);
  void lock_other(Oid oid, const std::string& name);

  const ExchangeTable* source(Oid oid) const {
    const auto found =
        std::ranges::find(tables_, oid, &ExchangeTable::source_oid);
    return found == tables_.end() ? nullptr : &*found;
  }

  // Whether the table will be, which is so now.
  bool will_be_partitioned(Oid oid, bool now) const {
    const ExchangeTable* ours = source(oid);
    return ours == nullptr ? now : ours->target->partitioned();
  }

  pg::Connection& connection_;
  const std::vector<ExchangeTable>& tables_;
  Carried& carried_;
  std::vector<ForeignKey> keys_;
  std::set<Held> held_;
};

// Each once, though it may touch two sources.
void ForeignKeys::read() {
  std::set<Oid> seen;
  for (const ExchangeTable& table : tables_) {
    const pg::Result result =
        connection_.exec(kForeignKeys, {table.source_oid});
    for (int row = 0; row < result.rows(); ++row) {
      if (!seen.insert(result.number<Oid>(row, 0)).second) continue;
      keys_.push_back(read_key(result, row));
    }
  }
}

// Whether the script does.
bool ForeignKeys::drops(const ForeignKey& key) {
  const ExchangeTable* ours = source(key.referencing);
  if (ours == nullptr ||
      !ours->target->dropped_foreign_keys.contains(key.name)) {
    return false;
  }
  carried_.dropped_references.insert(
      fmt::format("referenced by {} {}", key.table, key.name));
  return true;
}

// A key to a partitioned table has parts, one for each partition, to which the
// server gives names that are free, as a_b_fkey: it could take that of a key
// that is made after it. So those are held until then. (It looks for names in
// the whole schema, so that holding one on the table above leaves is enough.)
void ForeignKeys::hold_names() {
  std::vector<Held> names;
  std::set<std::string> with_parts;
  std::set<std::string> partitioned;
  for (const ForeignKey& key : keys_) {
    names.emplace_back(key.table, key.name);
    if (will_be_partitioned(key.referencing, key.of_partitioned)) {
      partitioned.insert(key.table);
    }
    if (will_be_partitioned(key.referenced, key.to_partitioned)) {
      with_parts.insert(key.table);
    }
  }
  for (const ExchangeTable& table : tables_) {
    for (const plan::AddedForeignKey& key : table.target->added_foreign_keys) {
      names.emplace_back(table.target->source.quoted(), key.name);
    }
  }
  for (const auto& [table, name] : names) {
    const bool alone = std::ranges::count(names, table, &Held::first) == 1;
    if (alone || !with_parts.contains(table)) continue;
    held_.emplace(table, name);
    carried_.after.push_back(
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK (true) {}NOT VALID",
                    table, pg::quote_identifier(name),
                    partitioned.contains(table) ? "" : "NO INHERIT "));
  }
}

void ForeignKeys::release(const std::string& table, const std::string& name) {
  if (held_.erase({table, name}) == 0) return;
  carried_.after.push_back(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}",
                                       table, pg::quote_identifier(name)));
}

void ForeignKeys::make(const ForeignKey& key) {
  const bool whole = will_be_partitioned(key.referencing, key.of_partitioned);
  if (whole && key.validated &&
      connection_.server_version() < kTakesWholeNotValid) {
    return make_on_leaves(key);
  }
  carried_.after.push_back(key.add);
  append(carried_.after, key.comment);
  if (!key.validated) return;
  if (!whole) {
    carried_.afterwards.push_back(validate(key.table, key.name));
    return;
  }
  for (const auto& leaf : leaves_of(key.referencing)) {
    carried_.afterwards.push_back(validate(leaf.name, key.name));
  }
  carried_.afterwards.push_back(validate_whole(key.table, key.name));
}

void ForeignKeys::make_on_leaves(const ForeignKey& key) {
  Carried::LeafKeys made;
  made.referencing = key.referencing;
  made.referenced = key.referenced;
  made.table = key.table;
  made.name = key.name;
  made.definition = key.definition;
  made.leaves = leaves_of(key.referencing);
  for (const auto& leaf : made.leaves) {
    carried_.after.push_back(
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", leaf.name,
                    pg::quote_identifier(made.name), made.definition));
    carried_.afterwards.push_back(validate(leaf.name, made.name));
  }
  carried_.afterwards.push_back(make_whole(made));
  append(carried_.afterwards, key.comment);
  carried_.leaf_keys.push_back(std::move(made));
}

// Those that the table will have, as they are called after the exchange.
std::vector<Carried::LeafKeys::Leaf> ForeignKeys::leaves_of(Oid table) {
  const ExchangeTable* ours = source(table);
  std::vector<Carried::LeafKeys::Leaf> leaves;
  const pg::Result result = connection_.exec(
      kLeaves, {ours == nullptr ? table : ours->shadow_oid,
                ours == nullptr ? pg::Param(std::nullopt)
                                : pg::Param(ours->target->source.schema)});
  for (int row = 0; row < result.rows(); ++row) {
    leaves.push_back({.name = std::string(result.text(row, 0)),
                      .called = std::string(result.text(row, 1))});
  }
  return leaves;
}

void ForeignKeys::lock_other(Oid oid, const std::string& name) {
  const auto& known = carried_.other_oids;
  if (source(oid) != nullptr || std::ranges::find(known, oid) != known.end()) {
    return;
  }
  carried_.other_oids.push_back(oid);
  carried_.other_tables.push_back(name);
}

// By name: who is called so now is meant.
void ForeignKeys::added_to(const ExchangeTable& table) {
  for (const plan::AddedForeignKey& key : table.target->added_foreign_keys) {
    const std::string ours = table.target->source.quoted();
    const std::string name = pg::quote_identifier(key.name);
    const auto other = catalog::find_relation(
        connection_, key.referenced.schema, key.referenced.name);
    // An exchange has looked before (Exchange::require_references).
    if (!other) continue;
    lock_other(*other, key.referenced.quoted());
    if (source(*other) == nullptr) carried_.added_references.push_back(*other);
    release(ours, key.name);
    carried_.after.push_back(
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID", ours, name,
                    key.definition));
    if (key.validated) {
      carried_.afterwards.push_back(validate(ours, key.name));
    }
    Inventory& facts = carried_.added_facts[table.source_oid];
    facts["foreign key " + key.name] = key.definition;
    if (key.comment) {
      carried_.after.push_back(
          fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", name, ours,
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

}  // namespace

void carry_foreign_keys(pg::Connection& connection,
                        const std::vector<ExchangeTable>& tables,
                        Carried& carried) {
  ForeignKeys(connection, tables, carried).carry();
}

}  // namespace pgrecast::exchange
