// What stands around a migration at this moment: transactions that it would
// wait for, other slots, and disks.

#include "pgrecast/base/text.h"
#include "pgrecast/catalog/views.h"

#include "reporting.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace pgrecast::migration {
namespace {

// Transactions of a second and more, as the exchange counts them
// (ExchangeOptions::long_holder). What does not write, has no snapshot of this
// database and no lock on the tables is in nobody's way; neither is autovacuum,
// which gives way. $1: the tables.
constexpr const char* kSessions = R"sql(
WITH relation AS (
  SELECT t.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t(oid)
  UNION
  SELECT p.relid::pg_catalog.oid
  FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t(oid)
  CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.oid) AS p)
SELECT a.pid, COALESCE(NULLIF(a.application_name, ''), a.backend_type), a.state,
       a.datname, s.age, s.writes, s.snapshot, s.locks
FROM pg_catalog.pg_stat_activity a
CROSS JOIN LATERAL (SELECT
  EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)
    ::pg_catalog.int8 AS age,
  a.backend_xid IS NOT NULL AS writes,
  a.backend_xmin IS NOT NULL AND a.datname = pg_catalog.current_database()
    AS snapshot,
  EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN relation r ON r.oid = l.relation
          WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'
            AND a.datname = pg_catalog.current_database()) AS locks) AS s
WHERE a.pid <> pg_catalog.pg_backend_pid()
  AND a.backend_type <> 'autovacuum worker'
  AND a.xact_start <= pg_catalog.clock_timestamp() - '1 second'::pg_catalog.interval
  AND (s.writes OR s.snapshot OR s.locks)
ORDER BY s.age DESC, a.pid)sql";

constexpr const char* kPrepared = R"sql(
SELECT p.gid, p.database, EXTRACT(epoch FROM pg_catalog.clock_timestamp()
         - p.prepared)::pg_catalog.int8
FROM pg_catalog.pg_prepared_xacts p
ORDER BY p.prepared)sql";

constexpr const char* kSlots = R"sql(
SELECT s.slot_name, s.slot_type, s.active, COALESCE(pg_catalog.pg_wal_lsn_diff(
         pg_catalog.pg_current_wal_lsn(), s.restart_lsn), 0)::pg_catalog.int8
FROM pg_catalog.pg_replication_slots s
WHERE s.slot_name <> $1
ORDER BY 4 DESC, 1)sql";

// In MB; -1: none.
constexpr const char* kSlotLimit =
    "SELECT setting FROM pg_catalog.pg_settings"
    " WHERE name = 'max_slot_wal_keep_size'";

std::string effect_of(bool writes, bool snapshot, bool locks) {
  std::vector<std::string> waits;
  if (writes) waits.emplace_back("the slot's creation");
  if (snapshot || locks) waits.emplace_back("the cutover");
  return join(waits, " and ") + (waits.size() > 1 ? " wait" : " waits");
}

void append_prepared(pg::Connection& connection, std::vector<Hindrance>& all) {
  const pg::Result prepared = connection.exec(kPrepared);
  for (int row = 0; row < prepared.rows(); ++row) {
    all.push_back(
        {.what = fmt::format("prepared transaction '{}' in database {}",
                             prepared.text(row, 0), prepared.text(row, 1)),
         .age_s = prepared.number<std::int64_t>(row, 2),
         .effect = "the slot's creation waits"});
  }
}

}  // namespace

std::vector<Hindrance> hindrances(pg::Connection& connection,
                                  const plan::Plan& plan) {
  std::vector<catalog::Oid> sources;
  for (const catalog::Table& source : plan.sources) {
    sources.push_back(source.oid);
  }
  std::vector<Hindrance> all;
  const pg::Result sessions =
      connection.exec(kSessions, {catalog::oid_array(sources)});
  for (int row = 0; row < sessions.rows(); ++row) {
    all.push_back(
        {.what = fmt::format("pid {} ({}, {}) in database {}",
                             sessions.text(row, 0), sessions.text(row, 1),
                             sessions.text(row, 2), sessions.text(row, 3)),
         .age_s = sessions.number<std::int64_t>(row, 4),
         .effect = effect_of(sessions.boolean(row, 5), sessions.boolean(row, 6),
                             sessions.boolean(row, 7))});
  }
  append_prepared(connection, all);
  return all;
}

std::vector<OtherSlot> other_slots(pg::Connection& connection,
                                   const plan::Names& names) {
  const pg::Result found = connection.exec(kSlots, {names.slot});
  std::vector<OtherSlot> slots;
  for (int row = 0; row < found.rows(); ++row) {
    slots.push_back({.name = std::string(found.text(row, 0)),
                     .kind = std::string(found.text(row, 1)),
                     .active = found.boolean(row, 2),
                     .lag_bytes = found.number<std::int64_t>(row, 3)});
  }
  return slots;
}

DiskReport disk_report(pg::Connection& connection,
                       const std::vector<TableReport>& tables,
                       const RunOptions& options) {
  DiskReport disk;
  for (const TableReport& table : tables) disk.copy_bytes += table.size.bytes();
  // Every row that is copied, and every index that is built, is in the WAL.
  disk.wal_bytes = disk.copy_bytes;
  const auto limit_mb = connection.exec(kSlotLimit).number<std::int64_t>(0, 0);
  disk.kept_wal_bytes_max = options.retained_max;
  if (limit_mb >= 0) {
    disk.kept_wal_bytes_max = std::min(disk.kept_wal_bytes_max, limit_mb << 20);
  }
  std::error_code error;
  auto folder = std::filesystem::absolute(options.state_dir, error);
  while (!std::filesystem::exists(folder, error) &&
         folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  const auto space = std::filesystem::space(folder, error);
  if (!error) {
    disk.state_dir_free_bytes = static_cast<std::int64_t>(space.available);
  }
  return disk;
}

}  // namespace pgrecast::migration
