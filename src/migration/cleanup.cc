#include "pgrecast/migration/cleanup.h"

#include "pgrecast/base/json.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/child.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <exception>
#include <functional>
#include <utility>

namespace pgrecast::migration {
namespace {

constexpr auto kSlotTimeMax = std::chrono::seconds(30);
// Whoever comes while we queue for a lock queues behind us: for no longer than
// this, and then they all go first.
constexpr const char* kShortLocks = "SET lock_timeout = '200ms'";
constexpr auto kPause = milliseconds(500);

// Until it succeeds without having waited long for a lock.
void retry_politely(pg::Connection& connection, std::string_view what,
                    const std::function<void()>& step) {
  connection.exec(kShortLocks);
  for (int attempt = 1;; ++attempt) {
    try {
      step();
      break;
    } catch (const pg::SqlError& error) {
      if (error.remedy() != Remedy::kRetryTransaction) throw;
      log::info("migration", "lock not granted, trying again",
                "step='{}' attempt={}", what, attempt);
    }
    connection.wait_readable(Deadline::in(kPause));
  }
  connection.exec("SET lock_timeout = 0");
}

// Whatever of a migration can be dropped is dropped; what somebody made depend
// on it is kept, and told at the end.
class Drops {
 public:
  explicit Drops(pg::Connection& connection) : connection_(connection) {}

  void drop(const std::string& what, const std::string& statement) {
    if (!try_drop(what, statement)) {
      kept_.push_back(fmt::format("{} ({})", what, dependents_));
    }
  }

  // False: something depends on it, and nothing was dropped.
  bool try_drop(const std::string& what, const std::string& statement) {
    try {
      retry_politely(connection_, "drop " + what,
                     [&] { connection_.exec(statement); });
      return true;
    } catch (const pg::SqlError& error) {
      if (error.sqlstate() != pg::sqlstate::kDependentObjectsStillExist) throw;
      connection_.exec("SET lock_timeout = 0");
      dependents_ = error.fields().detail;
      return false;
    }
  }

  void throw_if_kept() const {
    if (!kept_.empty()) throw SchemaKept(join(kept_, "; "));
  }

 private:
  pg::Connection& connection_;
  std::string dependents_;  // what kept the last one
  std::vector<std::string> kept_;
};

// The shadows or the retired tables: only those, by their OIDs, and only while
// they lie in a schema that we made. Their partitions go with them. Whatever
// else is in those schemas somebody else has put there, and keeps them.
void drop_tables(Drops& drops, pg::Connection& connection,
                 const MigrationRecord& record, const char* oid_column) {
  const pg::Result tables = connection.exec(
      fmt::format("SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)"
                  " FROM pgrecast.tables t"
                  " JOIN pg_catalog.pg_class c ON c.oid = t.{}"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE t.migration = $1 AND n.nspname IN"
                  "  (SELECT pg_catalog.jsonb_array_elements_text($2))",
                  oid_column),
      {record.name, recorded_json(record.schemas)});
  std::vector<std::string> names;
  for (int row = 0; row < tables.rows(); ++row) {
    names.emplace_back(tables.text(row, 0));
  }
  // All at once first: a policy or a rule of one may mention another.
  if (names.size() > 1 &&
      drops.try_drop("tables", "DROP TABLE IF EXISTS " + join(names, ", "))) {
    names.clear();
  }
  for (const std::string& name : names) {
    drops.drop("table " + name, "DROP TABLE IF EXISTS " + name);
  }
  PGRECAST_SYNC_POINT("cleanup:table");
}

// Of shadows that are gone, or have their parents back.
void drop_stand_ins(Drops& drops, pg::Connection& connection,
                    const MigrationRecord& record) {
  const pg::Result tables = connection.exec(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)"
      " FROM pg_catalog.pg_class c"
      " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
      " WHERE c.relkind = 'r' AND pg_catalog.starts_with(c.relname, $1)"
      "  AND n.nspname IN (SELECT pg_catalog.jsonb_array_elements_text($2))",
      {plan::kStandIn, recorded_json(record.schemas)});
  for (int row = 0; row < tables.rows(); ++row) {
    const std::string name(tables.text(row, 0));
    drops.drop("table " + name, "DROP TABLE IF EXISTS " + name);
  }
}

void drop_schemas(Drops& drops, const MigrationRecord& record) {
  for (const std::string& schema : record.schemas) {
    const std::string guard = exchange::guard_function(schema);
    drops.drop("function " + guard, "DROP FUNCTION IF EXISTS " + guard);
    const std::string name = pg::quote_identifier(schema);
    drops.drop("schema " + name, "DROP SCHEMA IF EXISTS " + name);
    PGRECAST_SYNC_POINT("cleanup:schema");
  }
}

void remove_made(pg::Connection& connection, const MigrationRecord& record,
                 const char* oid_column) {
  Drops drops(connection);
  for (const std::string& statement : twin_drops(connection, record)) {
    drops.drop(statement.substr(std::string_view("DROP ").size()), statement);
  }
  drop_tables(drops, connection, record, oid_column);
  drop_stand_ins(drops, connection, record);
  drop_schemas(drops, record);
  drops.throw_if_kept();
  // A dump of the database holds these, too, for as long as it takes; `status`
  // and other migrations would stand behind us.
  retry_politely(connection, "drop the state",
                 [&] { delete_migration(connection, record.name); });
}

}  // namespace

pg::Endpoint endpoint_of(const std::string& conninfo,
                         const plan::Names& names) {
  constexpr std::size_t kNameShown = 24;
  return {.conninfo = conninfo,
          .application = fmt::format("pgrecast {} {}",
                                     utf8_prefix(names.migration, kNameShown),
                                     stable_hash(names.slot).substr(0, 8))};
}

std::filesystem::path buffer_path(const std::filesystem::path& state_dir,
                                  const MigrationRecord& record) {
  return state_dir / (record.slot + "-" + record.id);
}

void remove_capture(pg::Connection& connection, const MigrationRecord& record,
                    const std::filesystem::path& state_dir) {
  // The publication first: while it stands, somebody's change of the replica
  // identity would make their own updates fail.
  retry_politely(connection, "drop publication", [&] {
    capture::drop_publication(connection, record.publication);
  });
  PGRECAST_SYNC_POINT("cleanup:publication");
  capture::drop_slot(connection, record.slot, Deadline::in(kSlotTimeMax));
  PGRECAST_SYNC_POINT("cleanup:slot");
  ChangeBuffer::destroy(buffer_path(state_dir, record));
  PGRECAST_SYNC_POINT("cleanup:buffer");
}

void undo_migration(pg::Connection& connection, const MigrationRecord& record,
                    const std::filesystem::path& state_dir) {
  remove_capture(connection, record, state_dir);
  remove_made(connection, record, "shadow_oid");
}

void undo_unmade(pg::Connection& connection, const MigrationRecord& record,
                 Leftover not_ours) {
  if (not_ours == Leftover::kSlot) {
    retry_politely(connection, "drop publication", [&] {
      capture::drop_publication(connection, record.publication);
    });
  }
  remove_made(connection, record, "shadow_oid");
}

void complete_exchange(pg::Connection& connection,
                       const MigrationRecord& record,
                       const std::filesystem::path& state_dir) {
  // Nothing is removed before the synchronous standbys have the exchange too: a
  // commit that waits for them comes first.
  connection.exec("SET synchronous_commit = on");
  connection.exec(
      "SELECT pg_catalog.pg_logical_emit_message(true, 'pgrecast', "
      "'exchanged')",
      {}, Deadline::never());
  connection.exec("SET synchronous_commit = local");
  remove_capture(connection, record, state_dir);
  do_afterwards(connection, read_afterwards(connection, record.name));
  pg::Transaction transaction(connection);
  set_phase(connection, record.name, Phase::kDone);
  add_event(connection, record.name, "phase", "done");
  transaction.commit();
}

void remove_retired(pg::Connection& connection, const MigrationRecord& record) {
  remove_made(connection, record, "source_oid");
}

void do_afterwards(pg::Connection& connection,
                   const std::vector<std::string>& statements) {
  std::vector<std::string> broken;
  std::exception_ptr failed;  // the first: it keeps none of the others
  for (const std::string& statement : statements) {
    try {
      // Takes long, but only locks that let writers pass; getting them does
      // not.
      retry_politely(connection, statement, [&] {
        connection.exec(statement, {}, Deadline::never());
      });
    } catch (const pg::SqlError& error) {
      // Somebody dropped it meanwhile: then there is nothing to be done.
      const bool gone = error.sqlstate() == pg::sqlstate::kUndefinedObject ||
                        error.sqlstate() == pg::sqlstate::kUndefinedTable;
      const bool fails = !gone && !error.blames_data();
      log::warn("migration",
                gone    ? "gone meanwhile"
                : fails ? "failed"
                        : "not valid",
                "statement='{}' error='{}'", statement, error.what());
      if (fails) {
        if (!failed) failed = std::current_exception();
      } else if (!gone) {
        broken.push_back(
            fmt::format("{}: {}", statement, error.fields().detail));
      }
    }
    PGRECAST_SYNC_POINT("cleanup:afterwards");
  }
  if (failed) std::rethrow_exception(failed);
  if (broken.empty()) return;
  throw copy::DataRejected(
      "the exchange is done, but rows break foreign keys that were valid "
      "before (written past them, say, under session_replication_role) or that "
      "the script adds (written after it was looked for such rows); new rows "
      "are checked already",
      std::move(broken));
}

std::string ownership_query(const std::string& migration, std::uint64_t epoch) {
  return fmt::format(
      "SELECT FROM pgrecast.owner WHERE migration OPERATOR(pg_catalog.=) {} "
      "AND epoch OPERATOR(pg_catalog.=) {} FOR SHARE",
      pg::quote_literal(migration), epoch);
}

bool lock_migration(pg::Connection& connection, const MigrationRecord& record) {
  return connection
      .exec(
          "SELECT pg_catalog.pg_try_advisory_lock("
          "pg_catalog.hashtextextended($1, 0))",
          {"pgrecast " + record.slot})
      .boolean(0, 0);
}

// A look at pg_locks: to try the lock would be to have it for a moment.
bool is_locked(pg::Connection& connection, const MigrationRecord& record) {
  return connection
      .exec(
          "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l"
          " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
          "  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d"
          "   WHERE d.datname = pg_catalog.current_database())"
          "  AND (l.classid::pg_catalog.int8 << 32) | l.objid::pg_catalog.int8"
          "   = pg_catalog.hashtextextended($1, 0))",
          {"pgrecast " + record.slot})
      .boolean(0, 0);
}

std::uint64_t take_ownership(pg::Connection& connection,
                             const MigrationRecord& record) {
  const std::string application =
      endpoint_of("", {.migration = record.name,
                       .publication = record.publication,
                       .slot = record.slot})
          .application;
  if (rule_on("owner")) {
    // Only what a process before us left behind: a living one holds the lock
    // that we have now. The epoch is what makes it safe; this saves the wait.
    const pg::Result ended = connection.exec(
        "SELECT pid, pg_catalog.pg_terminate_backend(pid)"
        " FROM pg_catalog.pg_stat_activity"
        " WHERE pid <> pg_catalog.pg_backend_pid()"
        "  AND usename = current_user AND datname = "
        "pg_catalog.current_database()"
        "  AND pg_catalog.starts_with(application_name, $1)"
        "  AND application_name <> $1 || ' control'",
        {application});
    for (int row = 0; row < ended.rows(); ++row) {
      log::info("migration", "ended a session that was left behind", "pid={}",
                ended.text(row, 0));
    }
  }
  const pg::Result epoch = connection.exec(
      "UPDATE pgrecast.owner SET epoch = epoch + 1 WHERE migration = $1"
      " RETURNING epoch",
      {record.name});
  if (epoch.empty()) {
    throw OwnershipLost("the migration was removed by another process");
  }
  return epoch.number<std::uint64_t>(0, 0);
}

}  // namespace pgrecast::migration
