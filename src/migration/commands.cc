#include "pgrecast/migration/commands.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/migration/cleanup.h"

#include <fmt/format.h>

#include <utility>

namespace pgrecast::migration {
namespace {

constexpr auto kAbortTimeMax = std::chrono::minutes(2);
constexpr auto kSlotTimeMax = std::chrono::seconds(30);
constexpr auto kLookAgain = milliseconds(100);
constexpr int kEventsShown = 10;

pg::Connection connect(const std::string& conninfo, std::string_view role,
                       const std::stop_token& stop) {
  return pg::Connection::open({.conninfo = conninfo, .application = "pgrecast"},
                              role, stop);
}

MigrationRecord find_or_refuse(pg::Connection& connection,
                               const std::string& name) {
  auto record = find_migration(connection, name);
  if (record) return std::move(*record);
  throw Refused(fmt::format("there is no migration {} in this database", name),
                "look at `pgrecast list`, and at the database that --dsn "
                "names");
}

// On a migration that nobody runs any more. What its process had in flight is
// over once the ownership is taken, and may have been the exchange.
void undo_left_behind(pg::Connection& connection, const MigrationRecord& record,
                      const std::filesystem::path& state_dir) {
  take_ownership(connection, record);
  const auto now = read_migration(connection, record.name);
  if (now && now->phase >= Phase::kExchanged) {
    throw Refused(
        fmt::format("{} has exchanged its tables already", record.name),
        "`pgrecast finish` removes the retired tables and what else is left");
  }
  undo_migration(connection, now.value_or(record), state_dir);
}

}  // namespace

void abort_migration(const std::string& conninfo, const std::string& name,
                     const std::filesystem::path& state_dir,
                     const std::stop_token& stop) {
  pg::Connection connection = connect(conninfo, "abort", stop);
  const MigrationRecord record = find_or_refuse(connection, name);
  const Deadline deadline = Deadline::in(kAbortTimeMax);
  bool told = false;
  for (;;) {
    // In this order: what is read under the lock stays so.
    const bool locked = lock_migration(connection, record);
    const auto now = find_migration(connection, name);
    if (!now || now->id != record.id) return;
    if (now->phase >= Phase::kExchanged) {
      throw Refused(
          fmt::format("{} has exchanged its tables already", name),
          "`pgrecast finish` removes the retired tables and what else is left");
    }
    if (locked) {
      undo_left_behind(connection, *now, state_dir);
      return;
    }
    if (!std::exchange(told, true)) send_command(connection, name, "abort");
    if (deadline.passed()) {
      throw TimedOut("the process that runs the migration does not answer");
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
}

void finish_migration(const std::string& conninfo, const std::string& name,
                      const std::filesystem::path& state_dir,
                      const std::stop_token& stop) {
  pg::Connection connection = connect(conninfo, "finish", stop);
  const MigrationRecord record = find_or_refuse(connection, name);
  if (record.phase < Phase::kExchanged) {
    throw Refused(
        fmt::format("{} has not exchanged its tables yet (phase {})", name,
                    name_of(record.phase)),
        "let `pgrecast run` end first, or undo it by `pgrecast abort`");
  }
  if (!lock_migration(connection, record)) {
    throw Refused(fmt::format("a process is still at work on {}", name),
                  "wait until `pgrecast run` has ended");
  }
  // Under the lock: it may have been finished by another process meanwhile.
  if (!find_migration(connection, name)) return;
  take_ownership(connection, record);
  remove_capture(connection, record, state_dir);
  remove_retired(connection, record);
}

void tell_migration(const std::string& conninfo, const std::string& name,
                    const std::string& command, const std::stop_token& stop) {
  pg::Connection connection = connect(conninfo, command, stop);
  const MigrationRecord record = find_or_refuse(connection, name);
  if (lock_migration(connection, record)) {
    throw Refused(fmt::format("no process runs the migration {}", name),
                  "start it: the same `pgrecast run` resumes it");
  }
  send_command(connection, name, command);
}

std::vector<std::string> reap_migrations(const std::string& conninfo,
                                         std::int64_t retained_max,
                                         const std::stop_token& stop) {
  std::vector<std::string> reaped;
  pg::Connection connection = connect(conninfo, "reap", stop);
  if (!state_exists(connection)) return reaped;
  check_format(connection);
  for (const std::string& name : list_migrations(connection)) {
    // The lock of a session of its own: it goes with that session.
    pg::Connection session = connect(conninfo, "reap", stop);
    const auto record = read_migration(session, name);
    if (!record || !lock_migration(session, *record)) continue;
    const auto slot = capture::read_slot(session, record->slot);
    if (!slot || slot->retained_bytes <= retained_max) continue;
    capture::drop_publication(session, record->publication);
    capture::drop_slot(session, record->slot, Deadline::in(kSlotTimeMax));
    add_event(
        session, name, "reaped",
        fmt::format("the slot kept {} bytes of WAL", slot->retained_bytes));
    reaped.push_back(name);
  }
  return reaped;
}

std::vector<MigrationStatus> read_status(const std::string& conninfo,
                                         const std::optional<std::string>& name,
                                         const std::stop_token& stop) {
  std::vector<MigrationStatus> all;
  pg::Connection connection = connect(conninfo, "status", stop);
  if (!state_exists(connection)) {
    if (name) find_or_refuse(connection, *name);
    return all;
  }
  check_format(connection);
  const std::vector<std::string> names =
      name ? std::vector{*name} : list_migrations(connection);
  for (const std::string& one : names) {
    MigrationStatus status;
    status.record = find_or_refuse(connection, one);
    for (const TableRecord& table : read_tables(connection, one)) {
      status.tables.push_back(table.target.source.display());
    }
    pg::Transaction look(connection);
    status.running = !connection
                          .exec(
                              "SELECT pg_catalog.pg_try_advisory_xact_lock("
                              "pg_catalog.hashtextextended($1, 0))",
                              {"pgrecast " + status.record.slot})
                          .boolean(0, 0);
    look.rollback();
    status.heartbeat = read_heartbeat(connection, one);
    status.events = read_events(connection, one, kEventsShown);
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace pgrecast::migration
