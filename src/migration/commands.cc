#include "pgrecast/migration/commands.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/planning.h"
#include "pgrecast/pg/errors.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace pgrecast::migration {
namespace {

constexpr auto kSlotTimeMax = std::chrono::seconds(30);
constexpr auto kLookAgain = milliseconds(100);
constexpr int kEventsShown = 10;

pg::Connection connect(const std::string& conninfo, std::string_view role,
                       const std::stop_token& stop) {
  pg::Connection connection = pg::Connection::open(
      {.conninfo = conninfo, .application = "pgrecast"}, role, stop);
  refuse_standby(connection);
  return connection;
}

MigrationRecord find_or_refuse(pg::Connection& connection,
                               const std::string& name) {
  auto record = find_migration(connection, name);
  if (record) return std::move(*record);
  throw Refused(fmt::format("there is no migration {} in this database", name),
                "look at `pgrecast list`, and at the database that --dsn "
                "names");
}

Refused exchanged_already(const std::string& name) {
  return Refused(
      fmt::format("{} has exchanged its tables already", name),
      "`pgrecast finish` removes the retired tables and what else is left");
}

// On a migration that nobody runs any more. What its process had in flight is
// over once the ownership is taken, and may have been the exchange.
void undo_left_behind(pg::Connection& connection, const MigrationRecord& record,
                      const std::filesystem::path& state_dir) {
  take_ownership(connection, record);
  const auto now = read_migration(connection, record.name);
  if (now && now->phase >= Phase::kExchanged) {
    throw exchanged_already(record.name);
  }
  undo_migration(connection, now.value_or(record), state_dir);
}

// The command to the process that runs the migration. Whoever gives up waiting
// for that takes it back: it must not strike later.
class AbortCommand {
 public:
  AbortCommand(pg::Connection& connection, std::string name)
      : connection_(connection), name_(std::move(name)) {}
  AbortCommand(const AbortCommand&) = delete;
  AbortCommand& operator=(const AbortCommand&) = delete;
  ~AbortCommand() {
    try {
      if (sent_) take_back();
    } catch (const std::exception& error) {
      log::warn("migration", "cannot take the command back", "error='{}'",
                error.what());
    }
  }

  void send() {
    if (!sent_) send_command(connection_, name_, "abort");
    sent_ = true;
  }

  // It was done: nothing is left to be taken back.
  void done() { sent_ = false; }

  // False: it was heard.
  bool take_back() {
    sent_ = false;
    return take_back_command(connection_, name_, "abort");
  }

 private:
  pg::Connection& connection_;
  std::string name_;
  bool sent_ = false;
};

}  // namespace

void abort_migration(const std::string& conninfo, const std::string& name,
                     const std::filesystem::path& state_dir,
                     std::chrono::seconds patience,
                     const std::stop_token& stop) {
  pg::Connection connection = connect(conninfo, "abort", stop);
  const MigrationRecord record = find_or_refuse(connection, name);
  const Deadline deadline = Deadline::in(patience);
  AbortCommand command(connection, name);
  for (;;) {
    // In this order: what is read under the lock stays so.
    const bool locked = lock_migration(connection, record);
    const auto now = find_migration(connection, name);
    if (!now || now->id != record.id) return command.done();
    if (now->phase >= Phase::kExchanged) {
      throw exchanged_already(name);
    }
    if (locked) {
      undo_left_behind(connection, *now, state_dir);
      return command.done();
    }
    command.send();
    if (deadline.passed()) {
      throw TimedOut(command.take_back()
                         ? "the process that runs the migration does not "
                           "answer; nothing was changed, and the command was "
                           "taken back"
                         : "the process that runs the migration has heard it "
                           "and is still at it; look at `pgrecast status`");
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
  PGRECAST_SYNC_POINT("finish:found");
  if (!lock_migration(connection, record)) {
    throw Refused(fmt::format("a process is still at work on {}", name),
                  "wait until `pgrecast run` has ended");
  }
  // Under the lock: it may have been finished by another process meanwhile, and
  // another one begun under its name.
  const auto now = find_migration(connection, name);
  if (!now || now->id != record.id) return;
  take_ownership(connection, *now);
  if (now->phase == Phase::kExchanged) {
    complete_exchange(connection, *now, state_dir);
  } else {
    remove_capture(connection, *now, state_dir);
  }
  remove_retired(connection, *now);
}

Phase tell_migration(const std::string& conninfo, const std::string& name,
                     const std::string& command, const std::stop_token& stop) {
  pg::Connection connection = connect(conninfo, command, stop);
  const MigrationRecord record = find_or_refuse(connection, name);
  if (record.phase >= Phase::kExchanged) throw exchanged_already(name);
  if (!is_locked(connection, record)) {
    throw Refused(fmt::format("no process runs the migration {}", name),
                  "start it: the same `pgrecast run` resumes it");
  }
  send_command(connection, name, command);
  return record.phase;
}

namespace {

// Whether it was one to be reaped. The lock of a session of its own: it goes
// with that session.
bool reap(const std::string& conninfo, const std::string& name,
          std::int64_t retained_max, const std::stop_token& stop) {
  pg::Connection session = connect(conninfo, "reap", stop);
  const auto found = read_migration(session, name);
  PGRECAST_SYNC_POINT("reap:found");
  if (!found || !lock_migration(session, *found)) return false;
  // Under the lock: it may be gone, and another one of its name be there.
  const auto record = read_migration(session, name);
  if (!record || record->id != found->id) return false;
  const auto slot = capture::read_slot(session, record->slot);
  if (!slot || slot->retained_bytes <= retained_max) return false;
  std::exception_ptr kept;
  try {
    capture::drop_publication(session, record->publication);
  } catch (const pg::SqlError&) {
    kept = std::current_exception();  // the slot is what fills the disk
  }
  capture::drop_slot(session, record->slot, Deadline::in(kSlotTimeMax));
  add_event(session, name, "reaped",
            fmt::format("the slot kept {} bytes of WAL", slot->retained_bytes));
  if (kept) std::rethrow_exception(kept);
  return true;
}

}  // namespace

std::vector<std::string> reap_migrations(const std::string& conninfo,
                                         std::int64_t retained_max,
                                         const std::stop_token& stop) {
  std::vector<std::string> reaped;
  std::exception_ptr failed;
  pg::Connection connection = connect(conninfo, "reap", stop);
  if (!state_exists(connection)) return reaped;
  check_format(connection);
  for (const std::string& name : list_migrations(connection)) {
    try {
      if (reap(conninfo, name, retained_max, stop)) reaped.push_back(name);
    } catch (const Error& error) {
      // That of one keeps no other slot from being dropped.
      log::error("migration", "not wholly reaped", "migration={} error='{}'",
                 name, error.what());
      failed = std::current_exception();
    }
  }
  if (failed) std::rethrow_exception(failed);
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
    status.running = is_locked(connection, status.record);
    PGRECAST_SYNC_POINT("status:looked");
    status.heartbeat = read_heartbeat(connection, one);
    status.events = read_events(connection, one, kEventsShown);
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace pgrecast::migration
