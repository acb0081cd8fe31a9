#include "pgrecast/migration/cleanup.h"

#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

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

void drop_schema_with_table(pg::Connection& connection,
                            const std::string& schema) {
  // Our tables only; anything that somebody else put there keeps the schema.
  const pg::Result tables = connection.exec(
      "SELECT pg_catalog.format('DROP TABLE %I.%I', n.nspname, c.relname)"
      " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
      "  ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT "
      "c.relispartition",
      {schema});
  for (int row = 0; row < tables.rows(); ++row) {
    retry_politely(connection, "drop table",
                   [&] { connection.exec(std::string(tables.text(row, 0))); });
  }
  const pg::Result functions = connection.exec(
      "SELECT pg_catalog.format('DROP FUNCTION %s', "
      "p.oid::pg_catalog.regprocedure)"
      " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
      "  ON n.oid = p.pronamespace WHERE n.nspname = $1",
      {schema});
  for (int row = 0; row < functions.rows(); ++row) {
    connection.exec(std::string(functions.text(row, 0)));
  }
  connection.exec("DROP SCHEMA IF EXISTS " + pg::quote_identifier(schema));
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
  for (const std::string& schema : record.schemas) {
    drop_schema_with_table(connection, schema);
    PGRECAST_SYNC_POINT("cleanup:schema");
  }
  delete_migration(connection, record.name);
}

void remove_retired(pg::Connection& connection, const MigrationRecord& record) {
  for (const std::string& schema : record.schemas) {
    drop_schema_with_table(connection, schema);
    PGRECAST_SYNC_POINT("cleanup:schema");
  }
  delete_migration(connection, record.name);
}

void do_afterwards(pg::Connection& connection,
                   const std::vector<std::string>& statements) {
  std::vector<std::string> broken;
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
      if (!gone && !error.blames_data()) throw;
      log::warn("migration", gone ? "gone meanwhile" : "not valid",
                "statement='{}' error='{}'", statement, error.what());
      if (!gone) {
        broken.push_back(
            fmt::format("{}: {}", statement, error.fields().detail));
      }
    }
    PGRECAST_SYNC_POINT("cleanup:afterwards");
  }
  if (broken.empty()) return;
  throw copy::DataRejected(
      "the exchange is done, but rows break foreign keys that were valid "
      "before (written past them, say, under session_replication_role); new "
      "rows are checked already",
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
