#include "pgrecast/migration/state.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/json.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace pgrecast::migration {
namespace {

// Serialises making and removing the schema: "pgrecast" in ASCII.
constexpr const char* kLockSchema =
    "SELECT pg_catalog.pg_advisory_xact_lock(8099005838293496692)";

constexpr const char* kCreate = R"sql(
CREATE SCHEMA pgrecast;
COMMENT ON SCHEMA pgrecast IS 'state of running schema migrations; removed with the last of them';
CREATE TABLE pgrecast.format (version integer NOT NULL);
CREATE TABLE pgrecast.owner (
  migration text PRIMARY KEY,
  epoch bigint NOT NULL);
CREATE TABLE pgrecast.migrations (
  name text PRIMARY KEY,
  id uuid NOT NULL,
  phase text NOT NULL,
  script text NOT NULL,
  script_file text NOT NULL,
  settings jsonb NOT NULL,
  schemas jsonb NOT NULL,
  slot text NOT NULL,
  publication text NOT NULL,
  system_identifier text NOT NULL DEFAULT '0',
  timeline bigint NOT NULL DEFAULT 0,
  exact_xid text NOT NULL DEFAULT '0',
  verified boolean NOT NULL DEFAULT false,
  afterwards jsonb NOT NULL DEFAULT '[]',
  started_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  phase_at timestamptz NOT NULL DEFAULT pg_catalog.now());
CREATE TABLE pgrecast.tables (
  migration text NOT NULL,
  ordinal integer NOT NULL,
  source_oid oid NOT NULL,
  shadow_oid oid NOT NULL,
  target text NOT NULL,
  blocks bigint NOT NULL DEFAULT 0,
  leaves jsonb NOT NULL DEFAULT '[]',
  fingerprint text NOT NULL,
  PRIMARY KEY (migration, ordinal));
CREATE TABLE pgrecast.twins (
  migration text NOT NULL,
  ordinal integer NOT NULL,
  oid oid NOT NULL,
  PRIMARY KEY (migration, ordinal));
CREATE TABLE pgrecast.chunks (
  migration text NOT NULL,
  ordinal integer NOT NULL,
  first_block bigint NOT NULL,
  end_block bigint NOT NULL,
  rows bigint NOT NULL,
  PRIMARY KEY (migration, ordinal, first_block));
CREATE TABLE pgrecast.events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  by text NOT NULL DEFAULT session_user,
  event text NOT NULL,
  detail text NOT NULL);
CREATE TABLE pgrecast.heartbeats (
  migration text PRIMARY KEY,
  at timestamptz NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  status jsonb NOT NULL);
CREATE TABLE pgrecast.commands (
  migration text PRIMARY KEY,
  command text NOT NULL,
  by text NOT NULL DEFAULT session_user,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()))sql";

catalog::Settings settings_from(std::string_view json) {
  return nlohmann::json::parse(json).get<catalog::Settings>();
}

std::string leaves_json(const std::vector<catalog::Heap>& leaves) {
  nlohmann::json all = nlohmann::json::array();
  for (const catalog::Heap& leaf : leaves) {
    all.push_back({{"oid", leaf.oid},
                   {"schema", leaf.name.schema},
                   {"name", leaf.name.name},
                   {"blocks", leaf.blocks}});
  }
  return recorded_json(all);
}

std::vector<catalog::Heap> leaves_from(std::string_view json) {
  std::vector<catalog::Heap> leaves;
  for (const auto& leaf : nlohmann::json::parse(json)) {
    leaves.push_back({.oid = leaf.at("oid").get<catalog::Oid>(),
                      .name = {.schema = leaf.at("schema").get<std::string>(),
                               .name = leaf.at("name").get<std::string>()},
                      .blocks = leaf.at("blocks").get<std::int64_t>()});
  }
  return leaves;
}

// $1 the migration that asks, $2 its table, $3 and $4 the phases from the
// exchange on. From the part to the whole, which takes no lock.
constexpr const char* kRivals = R"sql(
SELECT m.name, m.phase, m.publication,
       pg_catalog.format('%s.%s', n.nspname, c.relname)
FROM pgrecast.migrations m
JOIN pgrecast.tables t ON t.migration = m.name
JOIN pg_catalog.pg_class c ON c.oid = t.source_oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE m.name <> $1 AND m.phase NOT IN ($3, $4)
  AND (t.source_oid = $2::pg_catalog.oid
       OR t.source_oid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(
                             $2::pg_catalog.oid) AS a)
       OR $2::pg_catalog.oid IN (SELECT a.relid
                                 FROM pg_catalog.pg_partition_ancestors(
                                   t.source_oid) AS a))
ORDER BY m.name, t.ordinal)sql";

// The schema belongs to the role that began the first migration.
template <typename Read>
auto read_state(const Read& read) {
  try {
    return read();
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != pg::sqlstate::kInsufficientPrivilege) throw;
    throw Refused(
        fmt::format("the state in schema pgrecast cannot be read: {}",
                    error.what()),
        "run as the role that began the other migrations, or grant its rights "
        "on schema pgrecast");
  }
}

// Nothing also where there is no state, or where it goes while we look.
template <typename Read>
auto find_state(pg::Connection& connection, const Read& read)
    -> decltype(read()) {
  try {
    if (!state_exists(connection)) return {};
    check_format(connection);
    return read_state(read);
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != pg::sqlstate::kUndefinedTable) throw;
    return {};
  }
}

// Tables run what their owner likes (triggers, policies, defaults), with the
// rights of whoever writes to them, and views whoever reads them: a role that
// may only create schemas could lie in wait. Of migrations they are made by a
// role that streams; a superuser is a member of all, so that says nothing.
void require_trusted_owner(pg::Connection& connection) {
  const pg::Result owner = connection.exec(
      "SELECT o.rolname, o.rolname = me.rolname OR o.rolsuper"
      "  OR o.rolreplication OR (NOT me.rolsuper"
      "   AND pg_catalog.pg_has_role(o.oid, 'MEMBER'))"
      " FROM pg_catalog.pg_namespace n"
      " JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner"
      " JOIN pg_catalog.pg_roles me ON me.rolname = current_user"
      " WHERE n.nspname = 'pgrecast'");
  if (owner.empty() || owner.boolean(0, 1)) return;
  throw Refused(
      fmt::format("the schema pgrecast belongs to role {0}, which may not "
                  "stream and so began no migration: what it put there would "
                  "run with your rights",
                  owner.text(0, 0)),
      fmt::format("look what it holds, then drop or rename it; or, if {0} does "
                  "migrate, run as {0}",
                  owner.text(0, 0)));
}

}  // namespace

// The catalog itself: to_regclass answers from a cache, which may not know yet
// what the session did that held kLockSchema before us.
bool state_exists(pg::Connection& connection) {
  const bool exists =
      connection
          .exec(
              "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c"
              " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
              " WHERE n.nspname = 'pgrecast' AND c.relname = 'format')")
          .boolean(0, 0);
  if (exists) require_trusted_owner(connection);
  return exists;
}

void refuse_foreign_schema(pg::Connection& connection) {
  if (state_exists(connection)) return;
  if (connection
          .exec(
              "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'pgrecast'")
          .empty()) {
    return;
  }
  throw Refused(
      "there is a schema pgrecast already, which is none of ours: the state of "
      "migrations is kept in a schema of that name",
      "ALTER SCHEMA pgrecast RENAME TO .., or drop it");
}

void check_format(pg::Connection& connection) {
  const pg::Result version = read_state(
      [&] { return connection.exec("SELECT version FROM pgrecast.format"); });
  if (version.rows() == 1 && version.number<int>(0, 0) == kStateFormatVersion) {
    return;
  }
  throw Refused(
      "the schema pgrecast was written by another version of this program",
      "use that version until its migrations are finished or aborted");
}

std::optional<MigrationRecord> read_migration(pg::Connection& connection,
                                              const std::string& name) {
  const pg::Result result = connection.exec(
      "SELECT name, id, phase, script, script_file, settings, schemas, slot,"
      " publication, system_identifier, timeline, exact_xid, verified"
      " FROM pgrecast.migrations WHERE name = $1",
      {name});
  if (result.empty()) return std::nullopt;
  MigrationRecord record;
  record.name = result.text(0, 0);
  record.id = result.text(0, 1);
  record.phase = phase_named(result.text(0, 2));
  record.script = result.text(0, 3);
  record.script_file = result.text(0, 4);
  record.settings = settings_from(result.text(0, 5));
  record.schemas =
      nlohmann::json::parse(result.text(0, 6)).get<std::vector<std::string>>();
  record.slot = result.text(0, 7);
  record.publication = result.text(0, 8);
  record.system_identifier = result.number<std::uint64_t>(0, 9);
  record.timeline = result.number<std::uint32_t>(0, 10);
  record.exact_xid = result.number<std::uint64_t>(0, 11);
  record.verified = result.boolean(0, 12);
  return record;
}

std::optional<MigrationRecord> find_migration(pg::Connection& connection,
                                              const std::string& name) {
  return find_state(connection,
                    [&] { return read_migration(connection, name); });
}

std::vector<Rival> find_rivals(pg::Connection& connection,
                               const std::string& name, catalog::Oid table) {
  return find_state(connection, [&] {
    const pg::Result result = connection.exec(
        kRivals,
        {name, table, name_of(Phase::kExchanged), name_of(Phase::kDone)});
    std::vector<Rival> rivals;
    for (int row = 0; row < result.rows(); ++row) {
      rivals.push_back({.migration = std::string(result.text(row, 0)),
                        .phase = std::string(result.text(row, 1)),
                        .publication = std::string(result.text(row, 2)),
                        .table = std::string(result.text(row, 3))});
    }
    return rivals;
  });
}

std::vector<std::string> list_migrations(pg::Connection& connection) {
  const pg::Result result = connection.exec(
      "SELECT name FROM pgrecast.migrations ORDER BY started_at, name");
  std::vector<std::string> names;
  for (int row = 0; row < result.rows(); ++row) {
    names.emplace_back(result.text(row, 0));
  }
  return names;
}

std::optional<Heartbeat> read_heartbeat(pg::Connection& connection,
                                        const std::string& name) {
  const pg::Result result = connection.exec(
      "SELECT host, pid, EXTRACT(epoch FROM pg_catalog.clock_timestamp() - at)"
      "::pg_catalog.float8, status FROM pgrecast.heartbeats WHERE migration = "
      "$1",
      {name});
  if (result.empty()) return std::nullopt;
  Heartbeat heartbeat;
  heartbeat.host = result.text(0, 0);
  heartbeat.pid = result.number<int>(0, 1);
  heartbeat.age_seconds = std::stod(std::string(result.text(0, 2)));
  heartbeat.status_json = result.text(0, 3);
  return heartbeat;
}

std::vector<Event> read_events(pg::Connection& connection,
                               const std::string& name, int count) {
  const pg::Result result = connection.exec(
      "SELECT at::pg_catalog.timestamptz(0), by, event, detail FROM (SELECT * "
      "FROM pgrecast.events"
      " WHERE migration = $1 ORDER BY id DESC LIMIT $2::pg_catalog.int8) AS "
      "last ORDER BY id",
      {name, count});
  std::vector<Event> events;
  for (int row = 0; row < result.rows(); ++row) {
    events.push_back({.at = std::string(result.text(row, 0)),
                      .by = std::string(result.text(row, 1)),
                      .event = std::string(result.text(row, 2)),
                      .detail = std::string(result.text(row, 3))});
  }
  return events;
}

std::uint64_t insert_migration(pg::Connection& connection,
                               const MigrationRecord& record) {
  connection.exec(kLockSchema);
  if (!state_exists(connection)) {
    refuse_foreign_schema(connection);
    connection.exec(kCreate);
    connection.exec("INSERT INTO pgrecast.format VALUES ($1)",
                    {kStateFormatVersion});
  }
  check_format(connection);
  // What came too late for one of the same name before.
  connection.exec("DELETE FROM pgrecast.commands WHERE migration = $1",
                  {record.name});
  // Each takeover adds one, and uses up a transaction id at least: so the next
  // migration of the name begins above whatever this one will have.
  const pg::Result owner = connection.exec(
      "INSERT INTO pgrecast.owner VALUES ($1, pg_catalog.pg_current_xact_id()"
      "::pg_catalog.text::pg_catalog.int8) RETURNING epoch",
      {record.name});
  connection.exec(
      "INSERT INTO pgrecast.migrations (name, id, phase, script, script_file,"
      " settings, schemas, slot, publication)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      {record.name, record.id, name_of(record.phase), record.script,
       record.script_file, recorded_json(record.settings),
       recorded_json(record.schemas), record.slot, record.publication});
  return owner.number<std::uint64_t>(0, 0);
}

void insert_table(pg::Connection& connection, const std::string& name,
                  const plan::TableTarget& target, catalog::Oid source_oid,
                  catalog::Oid shadow_oid,
                  const catalog::Fingerprint& fingerprint) {
  connection.exec(
      "INSERT INTO pgrecast.tables (migration, ordinal, source_oid, shadow_oid,"
      " target, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)",
      {name, target.ordinal, source_oid, shadow_oid, target.to_json(),
       fingerprint.to_json()});
}

void delete_migration(pg::Connection& connection, const std::string& name) {
  pg::Transaction transaction(connection);
  connection.exec(kLockSchema);
  if (!state_exists(connection)) return;
  for (const char* table : {"commands", "heartbeats", "events", "chunks",
                            "twins", "tables", "owner"}) {
    connection.exec(
        fmt::format("DELETE FROM pgrecast.{} WHERE migration = $1", table),
        {name});
  }
  connection.exec("DELETE FROM pgrecast.migrations WHERE name = $1", {name});
  if (list_migrations(connection).empty()) {
    connection.exec(
        "DROP TABLE pgrecast.commands, pgrecast.heartbeats, pgrecast.events,"
        " pgrecast.chunks, pgrecast.twins, pgrecast.tables,"
        " pgrecast.migrations,"
        " pgrecast.owner, pgrecast.format; DROP SCHEMA pgrecast");
  }
  transaction.commit();
}

void insert_twins(pg::Connection& connection, const std::string& name,
                  const std::vector<catalog::Oid>& twins,
                  const std::vector<std::string>& schemas) {
  int ordinal = 0;
  for (const catalog::Oid twin : twins) {
    connection.exec("INSERT INTO pgrecast.twins VALUES ($1, $2, $3)",
                    {name, ordinal++, twin});
  }
  connection.exec("UPDATE pgrecast.migrations SET schemas = $2 WHERE name = $1",
                  {name, recorded_json(schemas)});
}

std::vector<std::string> twin_drops(pg::Connection& connection,
                                    const MigrationRecord& record) {
  const pg::Result twins = connection.exec(
      "SELECT pg_catalog.format('DROP %s IF EXISTS %I.%I',"
      "   CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END,"
      "   n.nspname, c.relname)"
      " FROM pgrecast.twins t"
      " JOIN pg_catalog.pg_class c ON c.oid = t.oid"
      " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
      " WHERE t.migration = $1 AND c.relkind IN ('m', 'v') AND n.nspname IN"
      "  (SELECT pg_catalog.jsonb_array_elements_text($2))"
      " ORDER BY t.ordinal DESC",
      {record.name, recorded_json(record.schemas)});
  std::vector<std::string> drops;
  for (int row = 0; row < twins.rows(); ++row) {
    drops.emplace_back(twins.text(row, 0));
  }
  return drops;
}

void delete_twins(pg::Connection& connection, const std::string& name) {
  connection.exec("DELETE FROM pgrecast.twins WHERE migration = $1", {name});
}

void set_identity(pg::Connection& connection, const std::string& name,
                  std::uint64_t system_identifier, std::uint32_t timeline) {
  connection.exec(
      "UPDATE pgrecast.migrations SET system_identifier = $2, timeline = $3"
      " WHERE name = $1",
      {name, system_identifier, timeline});
}

void set_phase(pg::Connection& connection, const std::string& name,
               Phase phase) {
  connection.exec(
      "UPDATE pgrecast.migrations SET phase = $2, phase_at = "
      "pg_catalog.clock_timestamp() WHERE name = $1",
      {name, name_of(phase)});
}

void set_exact_xid(pg::Connection& connection, const std::string& name,
                   std::uint64_t xid) {
  connection.exec(
      "UPDATE pgrecast.migrations SET exact_xid = $2 WHERE name = $1",
      {name, xid});
}

void set_afterwards(pg::Connection& connection, const std::string& name,
                    const std::vector<std::string>& statements) {
  connection.exec(
      "UPDATE pgrecast.migrations SET afterwards = $2 WHERE name = $1",
      {name, recorded_json(statements)});
}

std::vector<std::string> read_afterwards(pg::Connection& connection,
                                         const std::string& name) {
  const pg::Result result = connection.exec(
      "SELECT afterwards FROM pgrecast.migrations WHERE name = $1", {name});
  if (result.empty()) return {};
  return nlohmann::json::parse(result.text(0, 0))
      .get<std::vector<std::string>>();
}

void set_verified(pg::Connection& connection, const std::string& name,
                  bool verified) {
  connection.exec(
      "UPDATE pgrecast.migrations SET verified = $2 WHERE name = $1",
      {name, verified});
}

bool must_verify(pg::Connection& connection, const std::string& name) {
  return connection
      .exec(
          "SELECT COALESCE(pg_catalog.max(id) FILTER (WHERE event IN"
          "  ($2, $3, $4)), 0)"
          " > COALESCE(pg_catalog.max(id) FILTER (WHERE event = $5), 0)"
          " FROM pgrecast.events WHERE migration = $1",
          {name, kRepairingEvent, kRewrittenEvent, kLabelsEvent,
           kVerifiedEvent})
      .boolean(0, 0);
}

std::vector<TableRecord> read_tables(pg::Connection& connection,
                                     const std::string& name) {
  const pg::Result result = connection.exec(
      "SELECT target, source_oid, shadow_oid, blocks, fingerprint, leaves"
      " FROM pgrecast.tables WHERE migration = $1 ORDER BY ordinal",
      {name});
  std::vector<TableRecord> tables;
  for (int row = 0; row < result.rows(); ++row) {
    TableRecord table;
    table.target =
        plan::TableTarget::from_json(std::string(result.text(row, 0)));
    table.source_oid = result.number<catalog::Oid>(row, 1);
    table.shadow_oid = result.number<catalog::Oid>(row, 2);
    table.blocks = result.number<std::int64_t>(row, 3);
    table.fingerprint =
        catalog::Fingerprint::from_json(std::string(result.text(row, 4)));
    table.leaves = leaves_from(result.text(row, 5));
    tables.push_back(std::move(table));
  }
  return tables;
}

void set_table_start(pg::Connection& connection, const std::string& name,
                     std::uint32_t ordinal,
                     const catalog::Fingerprint& fingerprint,
                     std::int64_t blocks,
                     const std::vector<catalog::Heap>& leaves) {
  connection.exec(
      "UPDATE pgrecast.tables SET fingerprint = $3, blocks = $4, leaves = $5"
      " WHERE migration = $1 AND ordinal = $2",
      {name, ordinal, fingerprint.to_json(), blocks, leaves_json(leaves)});
}

void insert_chunk(pg::Connection& connection, const std::string& name,
                  std::uint32_t ordinal, const copy::BlockRange& blocks,
                  std::int64_t rows) {
  connection.exec("INSERT INTO pgrecast.chunks VALUES ($1, $2, $3, $4, $5)",
                  {name, ordinal, blocks.first, blocks.end, rows});
}

std::int64_t CopiedChunks::blocks() const {
  std::int64_t sum = 0;
  for (const copy::BlockRange& range : ranges) sum += range.end - range.first;
  return sum;
}

CopiedChunks read_chunks(pg::Connection& connection, const std::string& name,
                         std::uint32_t ordinal) {
  const pg::Result result = connection.exec(
      "SELECT first_block, end_block, rows FROM pgrecast.chunks"
      " WHERE migration = $1 AND ordinal = $2 ORDER BY first_block",
      {name, ordinal});
  CopiedChunks chunks;
  for (int row = 0; row < result.rows(); ++row) {
    chunks.ranges.push_back({.first = result.number<std::int64_t>(row, 0),
                             .end = result.number<std::int64_t>(row, 1)});
    chunks.rows += result.number<std::int64_t>(row, 2);
  }
  return chunks;
}

void delete_chunks(pg::Connection& connection, const std::string& name,
                   std::uint32_t ordinal) {
  connection.exec(
      "DELETE FROM pgrecast.chunks WHERE migration = $1 AND ordinal = $2",
      {name, ordinal});
}

void add_event(pg::Connection& connection, const std::string& name,
               const std::string& event, const std::string& detail) {
  connection.exec(
      "INSERT INTO pgrecast.events (migration, event, detail)"
      " VALUES ($1, $2, $3)",
      {name, event, detail});
}

void beat(pg::Connection& connection, const std::string& name,
          const std::string& host, int pid, const std::string& status_json) {
  connection.exec(
      "INSERT INTO pgrecast.heartbeats VALUES"
      " ($1, pg_catalog.clock_timestamp(), $2, $3, $4)"
      " ON CONFLICT (migration) DO UPDATE SET at = excluded.at,"
      " host = excluded.host, pid = excluded.pid, status = excluded.status",
      {name, host, pid, status_json});
}

Command take_command(pg::Connection& connection, const std::string& name) {
  const pg::Result result = connection.exec(
      "DELETE FROM pgrecast.commands WHERE migration = $1"
      " RETURNING command, by",
      {name});
  if (result.empty()) return {};
  return {.command = std::string(result.text(0, 0)),
          .by = std::string(result.text(0, 1))};
}

void send_command(pg::Connection& connection, const std::string& name,
                  const std::string& command) {
  pg::Transaction transaction(connection);
  connection.exec(
      "INSERT INTO pgrecast.commands AS given (migration, command)"
      " VALUES ($1, $2)"
      " ON CONFLICT (migration) DO UPDATE SET command = excluded.command,"
      " by = excluded.by, at = excluded.at WHERE given.command <> 'abort'",
      {name, command});
  add_event(connection, name, "command", command);
  connection.exec("SELECT pg_catalog.pg_notify('pgrecast', $1)", {name});
  transaction.commit();
}

bool take_back_command(pg::Connection& connection, const std::string& name,
                       const std::string& command) {
  return connection
             .cleanup(fmt::format(
                 "DELETE FROM pgrecast.commands WHERE migration "
                 "OPERATOR(pg_catalog.=) {} AND command "
                 "OPERATOR(pg_catalog.=) {}",
                 pg::quote_literal(name), pg::quote_literal(command)))
             .affected() > 0;
}

}  // namespace pgrecast::migration
