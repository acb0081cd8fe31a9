#include "hand_effects.h"

#include "pgrecast/pg/quote.h"

#include <algorithm>
#include <string_view>
#include <variant>

namespace pgrecast::plan {
namespace {

using catalog::Oid;

// Levels of locks, from the weakest. The server shows no lock on a clone that
// it has not already: making it took the strongest. So these are the manual's,
// and a test compares each with a table that was made beforehand.
enum class Lock {
  kAccessShare,
  kRowExclusive,
  kShareUpdateExclusive,
  kShare,
  kShareRowExclusive,
  kAccessExclusive,
};

std::string name_of(Lock lock) {
  switch (lock) {
    case Lock::kAccessShare:
      return "ACCESS SHARE";
    case Lock::kRowExclusive:
      return "ROW EXCLUSIVE";
    case Lock::kShareUpdateExclusive:
      return "SHARE UPDATE EXCLUSIVE";
    case Lock::kShare:
      return "SHARE";
    case Lock::kShareRowExclusive:
      return "SHARE ROW EXCLUSIVE";
    case Lock::kAccessExclusive:
      break;
  }
  return "ACCESS EXCLUSIVE";
}

Lock lock_of(script::AlterKind kind) {
  switch (kind) {
    case script::AlterKind::kSetStatistics:
    case script::AlterKind::kColumnOptions:
    case script::AlterKind::kTableOptions:
    case script::AlterKind::kCluster:
    case script::AlterKind::kValidateConstraint:
      return Lock::kShareUpdateExclusive;
    case script::AlterKind::kAddForeignKey:
      return Lock::kShareRowExclusive;
    default:
      return Lock::kAccessExclusive;
  }
}

// Of what is not named here, the strongest.
struct LockOf {
  const script::Script* script;

  Lock operator()(const script::AlterTable& alter) const {
    Lock strongest = Lock::kAccessShare;
    for (const script::Subcommand& subcommand : alter.subcommands) {
      const bool for_decoding =
          subcommand.kind == script::AlterKind::kTableOptions &&
          script->slice(subcommand.span).find("user_catalog_table") !=
              std::string_view::npos;
      strongest = std::max(strongest, for_decoding ? Lock::kAccessExclusive
                                                   : lock_of(subcommand.kind));
    }
    return strongest;
  }
  Lock operator()(const script::Update& /*body*/) const {
    return Lock::kRowExclusive;
  }
  Lock operator()(const script::Delete& /*body*/) const {
    return Lock::kRowExclusive;
  }
  Lock operator()(const script::CreateIndex& body) const {
    return body.concurrently ? Lock::kShareUpdateExclusive : Lock::kShare;
  }
  Lock operator()(const script::DropIndex& body) const {
    return body.concurrently ? Lock::kShareUpdateExclusive
                             : Lock::kAccessExclusive;
  }
  Lock operator()(const script::AlterIndex& body) const {
    return body.renamed_to ? Lock::kShareUpdateExclusive
                           : Lock::kAccessExclusive;
  }
  Lock operator()(const script::CommentOnTable& body) const {
    return body.part == script::CommentOnTable::Part::kConstraint
               ? Lock::kAccessShare
               : Lock::kShareUpdateExclusive;
  }
  Lock operator()(const script::CommentOnObject& /*body*/) const {
    return Lock::kShareUpdateExclusive;
  }
  Lock operator()(const script::ChangeGrants& /*body*/) const {
    return Lock::kAccessShare;
  }
  Lock operator()(const script::CreateStatistics& /*body*/) const {
    return Lock::kShareUpdateExclusive;
  }
  Lock operator()(const script::DropStatistics& /*body*/) const {
    return Lock::kShareUpdateExclusive;
  }
  template <typename Other>
  Lock operator()(const Other& /*body*/) const {
    return Lock::kAccessExclusive;
  }
};

bool has(const script::AlterTable& alter, script::AlterKind kind) {
  return std::ranges::find(alter.subcommands, kind,
                           &script::Subcommand::kind) !=
         alter.subcommands.end();
}

// Which is left out on a clone.
bool checks_foreign_keys(const script::Statement& statement) {
  const auto* alter = std::get_if<script::AlterTable>(&statement.body);
  return alter != nullptr &&
         std::ranges::any_of(alter->foreign_keys,
                             &script::AddedForeignKey::checked);
}

// What the server does not do with a partitioned table is not named for one.
struct InsteadOf {
  Effect effect;
  bool partitioned;

  std::string operator()(const script::CreateIndex& body) const {
    if (partitioned) {
      return "CREATE INDEX .. ON ONLY, then CONCURRENTLY on each partition, "
             "then ALTER INDEX .. ATTACH PARTITION: writers go on";
    }
    return body.concurrently
               ? ""
               : "CREATE INDEX CONCURRENTLY, in no transaction: writers go on";
  }
  std::string operator()(const script::DropIndex& body) const {
    return body.concurrently || partitioned
               ? ""
               : "DROP INDEX CONCURRENTLY, in no transaction: nobody waits";
  }
  std::string operator()(const script::AlterTable& alter) const {
    const bool adds = (has(alter, script::AlterKind::kAddConstraint) ||
                       has(alter, script::AlterKind::kAddForeignKey)) &&
                      !partitioned;
    if (effect == Effect::kBuildsIndexes) {
      return adds ? "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT .. "
                    "USING INDEX"
                  : "";
    }
    if (effect != Effect::kReadsRows) return "";
    if (has(alter, script::AlterKind::kSetNotNull)) {
      return "ADD CHECK (.. IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT, "
             "then SET NOT NULL, which reads nothing any more";
    }
    if (!adds) return "";
    return "ADD CONSTRAINT .. NOT VALID, then VALIDATE CONSTRAINT";
  }
  template <typename Other>
  std::string operator()(const Other& /*body*/) const {
    return "";
  }
};

}  // namespace

TableFiles read_files(pg::Connection& connection,
                      const std::vector<Oid>& tables) {
  std::vector<std::string> oids;
  oids.reserve(tables.size());
  for (const Oid oid : tables) oids.push_back(std::to_string(oid));
  const pg::Result found = connection.exec(
      R"sql(
WITH RECURSIVE tree AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
  UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT true, c.oid, c.relfilenode, pg_catalog.pg_stat_get_xact_numscans(c.oid)
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
UNION ALL
SELECT false, c.oid, c.relfilenode, 0
FROM tree JOIN pg_catalog.pg_index i ON i.indrelid = tree.oid
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid)sql",
      {pg::array_literal(oids)});
  TableFiles files;
  for (int row = 0; row < found.rows(); ++row) {
    const auto file = found.number<Oid>(row, 2);
    if (found.boolean(row, 0)) {
      files.heaps[found.number<Oid>(row, 1)] = file;
      files.scans += found.number<std::int64_t>(row, 3);
    } else {
      files.indexes.insert(file);
    }
  }
  return files;
}

Effect effect_of(const script::Statement& statement, const TableFiles& before,
                 const TableFiles& after) {
  if (std::holds_alternative<script::CreateTable>(statement.body) ||
      std::holds_alternative<script::CreatePartition>(statement.body)) {
    return Effect::kMakesAnew;
  }
  for (const auto& [table, file] : after.heaps) {
    const auto old = before.heaps.find(table);
    if (old != before.heaps.end() && old->second != file) {
      return Effect::kRewrites;
    }
  }
  if (std::holds_alternative<script::Update>(statement.body) ||
      std::holds_alternative<script::Delete>(statement.body)) {
    return Effect::kChangesRows;
  }
  // An index that keeps its file was only described anew.
  if (!std::ranges::includes(before.indexes, after.indexes)) {
    return Effect::kBuildsIndexes;
  }
  return after.scans > before.scans || checks_foreign_keys(statement)
             ? Effect::kReadsRows
             : Effect::kCatalogs;
}

NativeStep native_step(const script::Script& script,
                       const script::Statement& statement, Effect effect,
                       const std::string& object, bool partitioned) {
  NativeStep step;
  step.line = statement.place.line;
  step.effect = effect;
  step.lock = name_of(std::visit(LockOf{&script}, statement.body));
  step.object = object;
  step.instead = std::visit(
      InsteadOf{.effect = effect, .partitioned = partitioned}, statement.body);
  return step;
}

bool needs_migration(const NativeStep& step) {
  return step.effect >= Effect::kChangesRows;
}

bool any_needs_migration(const std::vector<NativeStep>& steps) {
  return std::ranges::any_of(steps, needs_migration);
}

std::string in_words(Effect effect) {
  switch (effect) {
    case Effect::kCatalogs:
      return "changes catalogs only";
    case Effect::kReadsRows:
      return "reads all rows";
    case Effect::kBuildsIndexes:
      return "builds indexes";
    case Effect::kChangesRows:
      return "changes rows";
    case Effect::kRewrites:
      return "rewrites the table";
    case Effect::kMakesAnew:
      break;
  }
  return "makes the table anew";
}

}  // namespace pgrecast::plan
