#include "pgrecast/plan/preconditions.h"

#include "pgrecast/base/text.h"
#include "pgrecast/catalog/dependents.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/child.h"
#include "pgrecast/plan/leaf.h"
#include "pgrecast/plan/parent.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>

namespace pgrecast::plan {
namespace {

// Column and type, of all that may hold the OID of a relation, or of its row
// type, as data.
constexpr const char* kOidColumns = R"sql(
WITH RECURSIVE holder(type) AS (
  SELECT t.oid FROM pg_catalog.unnest(
    '{pg_catalog.regclass,pg_catalog.regtype}'::pg_catalog.regtype[]) AS t(oid)
  UNION
  SELECT t.oid FROM holder JOIN pg_catalog.pg_type base ON base.oid = holder.type
  CROSS JOIN LATERAL (
    SELECT base.typarray AS oid
    UNION ALL
    SELECT d.oid FROM pg_catalog.pg_type d WHERE d.typbasetype = base.oid
    UNION ALL
    SELECT c.reltype FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'c'
    WHERE a.atttypid = base.oid AND NOT a.attisdropped) AS t
  WHERE t.oid <> 0)
SELECT pg_catalog.format('%s.%s.%s (%s)', n.nspname, c.relname, a.attname,
                         pg_catalog.format_type(a.atttypid, a.atttypmod))
FROM holder
JOIN pg_catalog.pg_attribute a ON a.atttypid = holder.type
 AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
 AND NOT c.relispartition AND c.relpersistence <> 't'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgrecast')
  AND NOT pg_catalog.starts_with(n.nspname, 'pgrecast_')
ORDER BY 1)sql";

// One whose tags all are of objects that a migration never makes, alters or
// drops does not fire; a tag that is not known is taken for one of ours.
constexpr const char* kEventTriggers = R"sql(
SELECT pg_catalog.format('%s (%s)', e.evtname, e.evtevent)
FROM pg_catalog.pg_event_trigger e
WHERE e.evtenabled IN ('O', 'A') AND e.evtevent <> 'login'
  AND pg_catalog.current_setting('event_triggers', true) IS DISTINCT FROM 'off'
  AND (e.evttags IS NULL OR EXISTS (
    SELECT FROM pg_catalog.unnest(e.evttags) AS t(tag)
    WHERE t.tag !~ ('^(CREATE|ALTER|DROP|IMPORT) (ACCESS METHOD|AGGREGATE|CAST'
      '|COLLATION|CONVERSION|DOMAIN|EXTENSION|FOREIGN|LANGUAGE|OPERATOR'
      '|PROCEDURE|SERVER|SUBSCRIPTION|TEXT SEARCH|TRANSFORM|TYPE'
      '|USER MAPPING)')))
ORDER BY 1)sql";

using catalog::Table;

constexpr int kOldestServer = 140000;

// FirstNormalObjectId: initdb makes everything below.
constexpr catalog::Oid kFirstOfUsers = 16384;

int process_of(pg::Connection& connection) {
  pg::Transaction transaction(connection);
  const pg::Result pid = connection.exec("SELECT pg_catalog.pg_backend_pid()");
  transaction.rollback();
  return pid.number<int>(0, 0);
}

void append(std::vector<Refusal>& to, std::vector<Refusal> from) {
  std::ranges::move(from, std::back_inserter(to));
}

void check_capacity(pg::Connection& connection,
                    std::vector<Refusal>& refusals) {
  const pg::Result facts = connection.exec(
      "SELECT (SELECT pg_catalog.count(*)"
      "          FROM pg_catalog.pg_replication_slots) <"
      " pg_catalog.current_setting('max_replication_slots')::pg_catalog.int8,"
      " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication) <"
      " pg_catalog.current_setting('max_wal_senders')::pg_catalog.int8");
  if (!facts.boolean(0, 0)) {
    refusals.push_back({"no replication slot is free",
                        "raise max_replication_slots, or drop a slot"});
  }
  if (!facts.boolean(0, 1)) {
    refusals.push_back(
        {"no WAL sender is free",
         "raise max_wal_senders, or end a process that streams"});
  }
}

void check_role(pg::Connection& connection, std::vector<Refusal>& refusals) {
  const pg::Result rights = connection.exec(
      "SELECT pg_catalog.has_database_privilege("
      "  pg_catalog.current_database(), 'CREATE'),"
      " pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')");
  if (!rights.boolean(0, 0)) {
    refusals.push_back({"the role may not create schemas in this database",
                        "GRANT CREATE ON DATABASE .. TO the role"});
  }
  if (!rights.boolean(0, 1)) {
    refusals.push_back(
        {"the role may not see what other sessions do, so that the exchange "
         "could not wait for snapshots that would see the new table incomplete",
         "GRANT pg_monitor (or pg_read_all_stats) TO the role"});
  }
}

bool is_table(const Table& relation) {
  return relation.kind == 'r' || relation.partitioned();
}

const char* kind_of(char relkind) {
  switch (relkind) {
    case 'v':
      return "a view";
    case 'm':
      return "a materialized view";
    case 'f':
      return "a foreign table";
    case 'S':
      return "a sequence";
    case 'c':
      return "a composite type";
    case 'i':
    case 'I':
      return "an index";
    default:
      return "no ordinary table";
  }
}

void check_kind(const Table& table, std::vector<Refusal>& refusals) {
  const std::string name = table.name.display();
  if (table.persistence != 'p') {
    const bool unlogged = table.persistence == 'u';
    refusals.push_back(
        {fmt::format("{} is {}: its changes are not in the WAL", name,
                     unlogged ? "unlogged" : "temporary"),
         unlogged ? "ALTER TABLE .. SET LOGGED first, or use ALTER TABLE by "
                    "itself"
                  : "use ALTER TABLE by itself: no other session sees it"});
  }
  if (table.is_partition && table.partitioned()) {
    refusals.push_back(
        {fmt::format("{} is a partition", name),
         "name the table that it is a part of, or detach it first"});
  }
}

void check_key(const Table& table, std::vector<Refusal>& refusals) {
  if (table.key) return;
  refusals.push_back(
      {fmt::format("{} has no usable key: {}", table.name.display(),
                   table.key_problem),
       table.replica_identity == 'n'
           ? "ALTER TABLE .. REPLICA IDENTITY DEFAULT, with a primary key"
           : "add a primary key, or set REPLICA IDENTITY to a unique index "
             "that is not deferrable over NOT NULL columns"});
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

// What the owner may do with the table, we must be able to (USAGE). The new
// table is given to the owner, for which the server asks, from 16 on, whether
// we could SET ROLE; being a member in any way sufficed before.
void check_owner(pg::Connection& connection, const Table& table,
                 std::vector<Refusal>& refusals) {
  constexpr int kHasSetOption = 160000;  // GRANT role .. WITH SET FALSE
  const bool by_option = connection.server_version() >= kHasSetOption;
  const pg::Result rights = connection.exec(
      "SELECT pg_catalog.pg_has_role(c.relowner, 'MEMBER'),"
      " pg_catalog.pg_has_role(c.relowner, 'USAGE'),"
      " pg_catalog.pg_has_role(c.relowner, $2)"
      " FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid",
      {table.oid, by_option ? "SET" : "MEMBER"});
  if (rights.empty()) return;  // dropped meanwhile; other checks say so
  const std::string belongs =
      fmt::format("{} belongs to role {}, ", table.name.display(), table.owner);
  if (!rights.boolean(0, 0)) {
    refusals.push_back(
        {belongs + "which you are no member of",
         fmt::format("run as {}, or GRANT it to your role", table.owner)});
    return;
  }
  if (!rights.boolean(0, 1)) {
    refusals.push_back(
        {belongs + "whose rights your role does not inherit",
         by_option
             ? fmt::format("run as {0}, or GRANT {0} to your role WITH "
                           "INHERIT TRUE",
                           table.owner)
             : fmt::format("run as {}, or ALTER ROLE .. INHERIT your role",
                           table.owner)});
  }
  if (!rights.boolean(0, 2)) {
    refusals.push_back(
        {belongs + "to which your role cannot give the new table, as it may "
                   "not SET ROLE",
         fmt::format("run as {0}, or GRANT {0} to your role WITH SET TRUE",
                     table.owner)});
  }
}

void check_rights(pg::Connection& connection, const Table& table,
                  std::vector<Refusal>& refusals) {
  check_owner(connection, table, refusals);
  const pg::Result rights = connection.exec(
      "SELECT pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')"
      " FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid",
      {table.oid});
  if (!rights.empty() && !rights.boolean(0, 0)) {
    refusals.push_back(
        {fmt::format("the role may not create tables in schema {}",
                     table.name.schema),
         "GRANT CREATE ON SCHEMA .. TO the role"});
  }
  if (hides_rows(connection, table)) {
    refusals.push_back(
        {fmt::format("policies of {} hide rows from the role itself (FORCE ROW "
                     "LEVEL SECURITY)",
                     table.name.display()),
         "ALTER ROLE .. BYPASSRLS for the role that migrates"});
  }
}

// The folder itself, or what of its path there is already.
std::filesystem::path existing_part(std::filesystem::path path) {
  std::error_code error;
  path = std::filesystem::absolute(path, error);
  while (!std::filesystem::exists(path, error) && path.has_relative_path()) {
    path = path.parent_path();
  }
  return path;
}

struct Fix {
  int major;
  int minor;
};

}  // namespace

std::optional<Refusal> pooler_refusal(pg::Connection& connection) {
  // A pooler makes the process up that it names when one connects, and which
  // process answers may change with each transaction. Four in a row would have
  // to fall to the same one by chance.
  constexpr int kTransactions = 4;
  for (int i = 0; i < kTransactions; ++i) {
    const int pid = process_of(connection);
    if (pid == connection.backend_pid()) continue;
    return Refusal{
        fmt::format("a connection pooler stands between: process {} of the "
                    "server answers, where process {} was connected to",
                    pid, connection.backend_pid()),
        "give the address of the server itself (--dsn), past the pooler"};
  }
  return std::nullopt;
}

std::optional<Refusal> old_server_refusal(pg::Connection& connection) {
  if (connection.server_version() >= kOldestServer) return std::nullopt;
  return Refusal{"the server is older than PostgreSQL 14",
                 "upgrade the server"};
}

std::optional<Refusal> standby_refusal(pg::Connection& connection) {
  if (!connection.exec("SELECT pg_catalog.pg_is_in_recovery()").boolean(0, 0)) {
    return std::nullopt;
  }
  return Refusal{"the server is a standby", "connect to the primary"};
}

std::vector<Refusal> server_refusals(pg::Connection& connection) {
  if (auto standby = standby_refusal(connection)) {
    return {std::move(*standby)};
  }
  std::vector<Refusal> refusals;
  const pg::Result facts = connection.exec(
      "SELECT pg_catalog.current_setting('wal_level'),"
      " pg_catalog.current_setting('synchronous_standby_names')"
      "   ~* '(^|[ ,(])(\"?[*]\"?($|[ ,)])|\"pgrecast )'");
  if (facts.text(0, 0) != "logical") {
    refusals.push_back(
        {fmt::format("wal_level is {}, so changes cannot be decoded",
                     facts.text(0, 0)),
         "set wal_level = logical and restart the server"});
  }
  check_capacity(connection, refusals);
  if (facts.boolean(0, 1)) {
    refusals.push_back(
        {"synchronous_standby_names holds * or a name of ours, so that our "
         "stream would count as a synchronous standby, and commits would wait "
         "for it",
         "name the standbys there"});
  }
  check_role(connection, refusals);
  return refusals;
}

std::optional<Refusal> replication_refusal(const pg::Endpoint& endpoint,
                                           const std::stop_token& stop) {
  try {
    pg::Connection::open(endpoint, "stream", stop,
                         pg::Connection::Kind::kReplication);
    return std::nullopt;
  } catch (const Error& error) {
    return Refusal{
        fmt::format("no replication connection: {}", error.what()),
        "ALTER ROLE .. REPLICATION (or the managed service's own grant), and a "
        "line for the database in pg_hba.conf; raise max_wal_senders if none "
        "is free"};
  }
}

std::optional<Refusal> state_dir_refusal(const std::filesystem::path& state_dir,
                                         std::uint64_t bytes_min) {
  const std::filesystem::path there = existing_part(state_dir);
  const char* remedy = "give another folder with --state-dir";
  std::error_code error;
  if (!std::filesystem::is_directory(there, error) ||
      access(there.c_str(), W_OK | X_OK) != 0) {
    return Refusal{
        fmt::format("the state cannot be written into {}", state_dir.string()),
        remedy};
  }
  struct statvfs disk {};
  if (statvfs(there.c_str(), &disk) != 0) {
    return Refusal{
        fmt::format("the disk of {} tells nothing of itself: {}",
                    state_dir.string(), std::generic_category().message(errno)),
        remedy};
  }
  const std::uint64_t free =
      static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free >= bytes_min) return std::nullopt;
  constexpr std::uint64_t kMega = 1U << 20U;
  return Refusal{
      fmt::format("the disk of {} has {} MB free, and the change buffer needs "
                  "{} MB at least",
                  state_dir.string(), free / kMega, bytes_min / kMega),
      "make room there, or give another folder with --state-dir"};
}

bool hides_rows(pg::Connection& connection, const Table& table) {
  const pg::Result hidden = connection.exec(
      "SELECT c.relforcerowsecurity AND pg_catalog.row_security_active(c.oid)"
      " FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid",
      {table.oid});
  return !hidden.empty() && hidden.boolean(0, 0);
}

std::vector<Refusal> table_refusals(pg::Connection& connection,
                                    const Table& table, const Names& names) {
  std::vector<Refusal> refusals;
  if (!is_table(table)) {
    refusals.push_back(
        {fmt::format("{} is {}", table.name.display(), kind_of(table.kind)),
         "name the ordinary table that holds the rows"});
    return refusals;
  }
  if (table.oid < kFirstOfUsers) {
    refusals.push_back(
        {fmt::format("{} is a table of the system", table.name.display()),
         "leave it to the server"});
    return refusals;
  }
  check_kind(table, refusals);
  check_key(table, refusals);
  check_generated(connection, table, refusals);
  check_rights(connection, table, refusals);
  append(refusals,
         catalog::uncarried_dependents(connection, table, names.publication));
  append(refusals, unfit_leaf(connection, table));
  append(refusals, unfit_child(connection, table));
  append(refusals, unfit_parent(connection, table));
  return refusals;
}

std::vector<std::string> version_warnings(int server_version) {
  constexpr int kPerMajor = 10000;
  const int major = server_version / kPerMajor;
  const int minor = server_version % kPerMajor;
  std::vector<std::string> warnings;
  constexpr int kColumnListBugMajor = 15;
  constexpr int kColumnListBugMinorMax = 1;
  if (major == kColumnListBugMajor && minor <= kColumnListBugMinorMax) {
    warnings.push_back(fmt::format(
        "PostgreSQL {}.{} sends columns that a publication does not name, "
        "which stops the stream (code 1, nothing is lost); 15.2 mends it",
        major, minor));
  }
  // The first minor versions that invalidate what transactions in progress
  // know of a publication, in every one of them.
  constexpr std::array kFixed = {Fix{14, 18}, Fix{15, 13}, Fix{16, 9},
                                 Fix{17, 5}};
  const auto* fix = std::ranges::find(kFixed, major, &Fix::major);
  if (fix != kFixed.end() && minor < fix->minor) {
    warnings.push_back(fmt::format(
        "PostgreSQL {}.{} may lose changes of transactions that are in "
        "progress while a publication is altered: alter none that others "
        "stream from; {}.{} mends it",
        major, minor, major, fix->minor));
  }
  return warnings;
}

std::vector<std::string> event_trigger_warnings(pg::Connection& connection) {
  const pg::Result found = connection.exec(kEventTriggers);
  if (found.empty()) return {};
  std::vector<std::string> names;
  for (int row = 0; row < found.rows(); ++row) {
    names.emplace_back(found.text(row, 0));
  }
  return {fmt::format(
      "event triggers fire on our statements, those under the exchange's lock "
      "among them, and one that fails stops the migration: {}",
      join(names, ", "))};
}

std::vector<std::string> server_warnings(pg::Connection& connection) {
  std::vector<std::string> warnings =
      version_warnings(connection.server_version());
  const pg::Result settings = connection.exec(
      "SELECT pg_catalog.current_setting('max_slot_wal_keep_size'),"
      " COALESCE(pg_catalog.current_setting('idle_replication_slot_timeout',"
      "   true), '0'),"
      // Neither a base backup, nor a session that has only just begun.
      " EXISTS (SELECT FROM pg_catalog.pg_stat_replication r"
      "  WHERE r.state IN ('catchup', 'streaming')"
      "   AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s"
      "    WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))");
  if (settings.text(0, 0) == "-1") {
    warnings.emplace_back(
        "max_slot_wal_keep_size is unlimited: should this host die, the slot "
        "fills the server's disk; run `pgrecast reap` from cron on another");
  }
  if (settings.text(0, 1) != "0") {
    warnings.push_back(fmt::format(
        "idle_replication_slot_timeout is {}: a migration that is stopped for "
        "longer loses its slot, and needs --repair or --restart",
        settings.text(0, 1)));
  }
  if (settings.boolean(0, 2)) {
    warnings.emplace_back(
        "there are standbys, whose snapshots cannot be seen from here: a "
        "transaction there that has an old one, and looks at the table for the "
        "first time after the exchange, may miss rows; end long ones before. "
        "The exchange's lock is replayed there, too");
  }
  std::ranges::move(event_trigger_warnings(connection),
                    std::back_inserter(warnings));
  return warnings;
}

std::vector<std::string> oid_warnings(pg::Connection& connection,
                                      const std::vector<Table>& sources) {
  std::vector<std::string> tables;
  for (const Table& source : sources) {
    if (is_table(source)) tables.push_back(source.name.display());
  }
  const pg::Result columns = connection.exec(kOidColumns);
  if (columns.empty() || tables.empty()) return {};
  constexpr int kNamed = 10;
  std::vector<std::string> names;
  for (int row = 0; row < std::min(columns.rows(), kNamed); ++row) {
    names.emplace_back(columns.text(row, 0));
  }
  if (columns.rows() > kNamed) {
    names.push_back(fmt::format("and {} more", columns.rows() - kNamed));
  }
  return {fmt::format(
      "the new table has another OID: what holds that of {} in its rows means "
      "the old one from the exchange on, and must be updated by hand. It may "
      "be in: {}",
      join(tables, ", "), join(names, ", "))};
}

}  // namespace pgrecast::plan
