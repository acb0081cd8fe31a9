#include "pgrecast/plan/plan.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/text.h"
#include "pgrecast/catalog/dependents.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"
#include "pgrecast/plan/fold.h"
#include "pgrecast/plan/partitions.h"
#include "pgrecast/plan/try_readers.h"

#include "foreign_keys.h"
#include "sequences.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace pgrecast::plan {
namespace {

using catalog::Table;

// NAMEDATALEN - 1. The server cuts longer names with only a notice, so two
// names could silently become one.
constexpr std::size_t kIdentifierBytesMax = 63;

// `text` cut to fit with `suffix`, and told apart by a hash where it was cut.
std::string fitted(const std::string& text, const std::string& suffix) {
  if (text.size() + suffix.size() <= kIdentifierBytesMax) return text + suffix;
  const std::string hash = "_" + stable_hash(text);
  return std::string(utf8_prefix(
             text, kIdentifierBytesMax - suffix.size() - hash.size())) +
         hash + suffix;
}

std::string ordinal_suffix(std::size_t ordinal) {
  return ordinal == 0 ? "" : fmt::format("_{}", ordinal + 1);
}

void check_server(pg::Connection& connection, std::vector<Refusal>& refusals) {
  const pg::Result facts = connection.exec(
      "SELECT pg_catalog.current_setting('wal_level'),"
      " pg_catalog.pg_is_in_recovery(),"
      " pg_catalog.has_database_privilege(pg_catalog.current_database(), "
      "'CREATE'),"
      " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots)"
      "   < "
      "pg_catalog.current_setting('max_replication_slots')::pg_catalog.int8,"
      " pg_catalog.current_setting('synchronous_standby_names')"
      "   ~ '(^|[ ,(])\"?[*]\"?($|[ ,)])',"
      " pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')");
  constexpr int kOldest = 140000;
  if (connection.server_version() < kOldest) {
    refusals.push_back(
        {"the server is older than PostgreSQL 14", "upgrade the server"});
  }
  if (facts.boolean(0, 1)) {
    refusals.push_back({"the server is a standby", "connect to the primary"});
    return;
  }
  if (facts.text(0, 0) != "logical") {
    refusals.push_back(
        {fmt::format("wal_level is {}, so changes cannot be decoded",
                     facts.text(0, 0)),
         "set wal_level = logical and restart the server"});
  }
  if (!facts.boolean(0, 2)) {
    refusals.push_back({"the role may not create schemas in this database",
                        "GRANT CREATE ON DATABASE .. TO the role"});
  }
  if (!facts.boolean(0, 5)) {
    refusals.push_back(
        {"the role may not see what other sessions do, so that the exchange "
         "could not wait for snapshots that would see the new table incomplete",
         "GRANT pg_monitor (or pg_read_all_stats) TO the role"});
  }
  if (facts.boolean(0, 4)) {
    refusals.push_back(
        {"synchronous_standby_names holds *, so that our stream would count as "
         "a synchronous standby, and commits would wait for it",
         "name the standbys there"});
  }
  if (!facts.boolean(0, 3)) {
    refusals.push_back({"no replication slot is free",
                        "raise max_replication_slots, or drop a slot"});
  }
}

void check_kind(const Table& table, std::vector<Refusal>& refusals) {
  const std::string name = table.name.display();
  if (table.kind != 'r') {
    const char* kind = table.kind == 'p'   ? "a partitioned table"
                       : table.kind == 'v' ? "a view"
                       : table.kind == 'm' ? "a materialized view"
                       : table.kind == 'f' ? "a foreign table"
                                           : "no ordinary table";
    refusals.push_back(
        {fmt::format("{} is {}", name, kind), "migrate an ordinary table"});
  }
  if (table.persistence != 'p') {
    refusals.push_back(
        {fmt::format("{} is {}: its changes are not in the WAL", name,
                     table.persistence == 'u' ? "unlogged" : "temporary"),
         "ALTER TABLE .. SET LOGGED first, or use ALTER TABLE by itself"});
  }
  if (table.is_partition) {
    refusals.push_back(
        {fmt::format("{} is a partition", name), "detach it first"});
  }
  if (!table.key) {
    refusals.push_back(
        {fmt::format("{} has no usable key: {}", name, table.key_problem),
         "add a primary key, or set REPLICA IDENTITY to a unique index that is "
         "not deferrable over NOT NULL columns"});
  }
}

// PostgreSQL 18 rejects the application's own UPDATEs and DELETEs in that case
// as soon as the table is published.
void check_generated(pg::Connection& connection, const Table& table,
                     std::vector<Refusal>& refusals) {
  constexpr int kChecksGenerated = 180000;
  if (connection.server_version() < kChecksGenerated) return;
  if (table.replica_identity != 'f') return;
  if (std::ranges::none_of(table.columns, &catalog::Column::generated)) return;
  refusals.push_back(
      {fmt::format("{} has REPLICA IDENTITY FULL and a generated column: once "
                   "published, the server would reject its updates",
                   table.name.display()),
       "ALTER TABLE .. REPLICA IDENTITY DEFAULT, with a primary key"});
}

void check_rights(pg::Connection& connection, const Table& table,
                  std::vector<Refusal>& refusals) {
  const pg::Result rights = connection.exec(
      "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'),"
      " pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')"
      " FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid",
      {table.oid});
  if (!rights.boolean(0, 0)) {
    refusals.push_back(
        {fmt::format("{} belongs to role {}, which you are no member of",
                     table.name.display(), table.owner),
         fmt::format("run as {}, or GRANT it to your role", table.owner)});
  }
  if (!rights.boolean(0, 1)) {
    refusals.push_back(
        {fmt::format("the role may not create tables in schema {}",
                     table.name.schema),
         "GRANT CREATE ON SCHEMA .. TO the role"});
  }
}

void check_no_other_migration(pg::Connection& connection, const Table& table,
                              std::vector<Refusal>& refusals) {
  const pg::Result published = connection.exec(
      "SELECT p.pubname FROM pg_catalog.pg_publication p"
      " JOIN pg_catalog.pg_publication_rel pr ON pr.prpubid = p.oid"
      " WHERE pr.prrelid = $1::pg_catalog.oid AND p.pubname LIKE "
      "'pgrecast\\_%'",
      {table.oid});
  for (int row = 0; row < published.rows(); ++row) {
    refusals.push_back(
        {fmt::format("{} is in publication {} of another migration",
                     table.name.display(), published.text(row, 0)),
         "finish or abort that migration first (pgrecast list)"});
  }
}

void append(std::vector<Refusal>& to, std::vector<Refusal> from) {
  std::ranges::move(from, std::back_inserter(to));
}

// The tables that the script names, in the order of their first mention.
std::vector<Table> read_sources(pg::Connection& connection,
                                const script::Script& script,
                                const catalog::Settings& settings,
                                std::vector<Refusal>& refusals) {
  std::vector<Table> sources;
  for (const script::Statement& statement : script.statements()) {
    const script::TableName* name = script::table_of(statement);
    if (name == nullptr) continue;
    pg::Transaction lookup(connection);
    connection.exec("SELECT pg_catalog.set_config('search_path', $1, true)",
                    {settings.at("search_path")});
    const auto oid =
        catalog::find_relation(connection, name->schema, name->name);
    lookup.rollback();
    if (!oid) {
      refusals.push_back(
          {script.error_at(name->span.begin,
                           fmt::format("there is no table {}", name->name), ""),
           "correct the name, or qualify it with its schema"});
      continue;
    }
    const bool known =
        std::ranges::find(sources, *oid, &Table::oid) != sources.end();
    if (!known) sources.push_back(catalog::read_table(connection, *oid));
  }
  return sources;
}

std::vector<FoldTable> place_tables(const std::vector<Table>& sources,
                                    const Names& names) {
  // Tables of one name come from different schemas, and go to different ones.
  std::map<std::string, std::size_t> seen;
  std::vector<FoldTable> placed;
  for (const Table& source : sources) {
    const std::size_t ordinal = seen[source.name.name]++;
    placed.push_back({.source = source,
                      .shadow = {.schema = names.shadow_schema(ordinal),
                                 .name = source.name.name},
                      .retired = {.schema = names.retired_schema(ordinal),
                                  .name = source.name.name}});
  }
  return placed;
}

void warn_of_limits(pg::Connection& connection, Plan& plan) {
  const pg::Result keep = connection.exec(
      "SELECT pg_catalog.current_setting('max_slot_wal_keep_size')");
  if (keep.text(0, 0) != "-1") return;
  plan.warnings.emplace_back(
      "max_slot_wal_keep_size is unlimited: should this host die, the slot "
      "fills the server's disk; run `pgrecast reap` from cron on another");
}

Plan plan_sources(pg::Connection& connection, const script::Script& script,
                  const Names& names) {
  Plan plan;
  plan.names = names;
  plan.settings = catalog::read_script_settings(connection);
  std::vector<Refusal> refusals;
  check_server(connection, refusals);
  plan.sources = read_sources(connection, script, plan.settings, refusals);
  for (const Table& source : plan.sources) {
    check_kind(source, refusals);
    check_generated(connection, source, refusals);
    check_rights(connection, source, refusals);
    check_no_other_migration(connection, source, refusals);
    append(refusals, catalog::uncarried_dependents(connection, source));
  }
  if (plan.sources.empty() && refusals.empty()) {
    refusals.push_back({"the script names no table", "add a statement"});
  }
  if (!refusals.empty()) throw Refused(std::move(refusals));
  warn_of_limits(connection, plan);
  return plan;
}

// In a transaction of the caller's.
std::vector<FoldTable> fold_into(pg::Connection& connection,
                                 const script::Script& script, Plan& plan) {
  const std::vector<FoldTable> placed = place_tables(plan.sources, plan.names);
  for (const FoldTable& table : placed) {
    for (const std::string& schema :
         {table.shadow.schema, table.retired.schema}) {
      if (std::ranges::find(plan.schemas, schema) != plan.schemas.end()) {
        continue;
      }
      connection.exec("CREATE SCHEMA " + pg::quote_identifier(schema));
      plan.schemas.push_back(schema);
    }
    create_clone(connection, table.source, table.shadow);
  }
  plan.targets = fold(connection, script, placed, plan.settings);
  return placed;
}

}  // namespace

std::string Names::shadow_schema(std::size_t ordinal) const {
  return fitted("pgrecast_" + migration, ordinal_suffix(ordinal));
}

std::string Names::retired_schema(std::size_t ordinal) const {
  return fitted("pgrecast_" + migration, "_retired" + ordinal_suffix(ordinal));
}

Names make_names(const std::string& migration, catalog::Oid database) {
  if (migration.empty()) throw UsageError("the migration's name is empty");
  if (script::find_invalid_utf8(migration) != std::string::npos) {
    throw UsageError("the migration's name is not valid UTF-8");
  }
  Names names;
  names.migration = migration;
  names.publication = fitted("pgrecast_" + migration, "");
  constexpr std::size_t kReadable = 30;
  std::string readable;
  for (const char c : migration.substr(0, kReadable)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool upper = c >= 'A' && c <= 'Z';
    readable += plain ? c : upper ? static_cast<char>(c - 'A' + 'a') : '_';
  }
  names.slot =
      fmt::format("pgrecast_{}_{}", readable,
                  stable_hash(fmt::format("{}/{}", database, migration)));
  return names;
}

Plan make_plan(pg::Connection& connection, const script::Script& script,
               const Names& names) {
  Plan plan = plan_sources(connection, script, names);
  Plan tried = plan;
  pg::Transaction transaction(connection);
  build_shadows(connection, script, tried);
  transaction.rollback();
  return tried;
}

void build_shadows(pg::Connection& connection, const script::Script& script,
                   Plan& plan) {
  plan.schemas.clear();
  try {
    const std::vector<FoldTable> tables = fold_into(connection, script, plan);
    std::vector<Refusal> refusals = foreign_key_problems(connection, tables);
    std::vector<TriedTable> tried;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const FoldTable& table = tables[i];
      const catalog::Oid oid =
          catalog::find_relation(connection, table.shadow.schema,
                                 table.shadow.name)
              .value();
      std::ranges::move(
          narrow_sequences(connection, table.source, oid, plan.targets[i]),
          std::back_inserter(plan.warnings));
      tried.push_back({.source = table.source.name,
                       .shadow = table.shadow,
                       .shape = {.source = table.source.oid,
                                 .target = oid,
                                 .renamed = plan.targets[i].renamed}});
      append(refusals, catalog::dependents_on_dropped_columns(
                           connection, tried.back().shape));
      if (is_partitioned(connection, oid)) {
        append(refusals, unfit_for_partitions(connection, table.source, oid));
        own_partitions(connection, plan.targets[i], oid);
      }
    }
    if (refusals.empty()) append(refusals, try_readers(connection, tried));
    for (const TriedTable& table : tried) {
      strip_indexes(connection, table.shape.target, table.shadow);
    }
    if (!refusals.empty()) throw Refused(std::move(refusals));
  } catch (const pg::SqlError& error) {
    throw Refused(fmt::format("an empty copy of the table cannot be made: {}",
                              error.what()),
                  "grant what is missing, or report it with the definition of "
                  "the table");
  }
}

}  // namespace pgrecast::plan
