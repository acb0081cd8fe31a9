#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/retained_limit.h"

#include "context.h"

#include <array>
#include <unistd.h>

namespace pgrecast::migration {
namespace {

constexpr auto kBeatEvery = milliseconds(1000);

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

void measure(Context& context, pg::Connection& connection,
             std::int64_t retained_bytes) {
  const pg::Result now = connection.exec(
      "SELECT pg_catalog.pg_current_wal_lsn(), pg_catalog.pg_snapshot_xmax("
      "pg_catalog.pg_current_snapshot())::pg_catalog.text");
  // A copy of days sends no fence that would renew it.
  context.xids->raise(Xid64{now.number<std::uint64_t>(0, 1)});
  const auto written = Lsn::parse(now.text(0, 0)).value_or(Lsn{}).value;
  const std::uint64_t received = context.receiver_status.received_lsn;
  context.progress->update([&](ProgressData& data) {
    data.lag_bytes = received == 0 || written < received
                         ? 0
                         : static_cast<std::int64_t>(written - received);
    data.retained_bytes = retained_bytes;
    data.dirty_keys = context.buffer->dirty_estimate();
    data.buffer_bytes =
        static_cast<std::int64_t>(context.buffer->bytes_on_disk());
  });
}

// While we own the migration: it may be another one of its name by now.
void drop_own_publication(const Context& context, pg::Connection& connection) {
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  PGRECAST_SYNC_POINT("keeper:before_drop");
  pg::Transaction transaction(connection);
  owner.prove_ownership(connection);
  capture::drop_publication(connection, context.record.publication);
  transaction.commit();
}

void watch(Context& context, pg::Connection& connection,
           const std::vector<WatchedTable>& tables, const KeeperCalls& calls) {
  for (const WatchedTable& table : tables) {
    const catalog::Fingerprint now = catalog::read_fingerprint(
        connection, table.oid, context.record.publication);
    const std::string difference = table.fingerprint.shape_difference(now);
    if (difference.empty()) continue;
    // Unless that was ourselves: the phase changes with the exchange.
    const auto record = read_migration(connection, context.record.name);
    if (!record || record->phase >= Phase::kExchanged) return;
    const SourceChanged changed(table.display +
                                " was changed by somebody while it was being "
                                "migrated: " +
                                difference);
    // Their UPDATEs fail from now on: not only when all our threads have ended.
    // The stream breaks with the publication.
    if (table.fingerprint.endangers_writers(now)) {
      calls.on_cause(std::make_exception_ptr(changed));
      drop_own_publication(context, connection);
    }
    throw changed;
  }
}

}  // namespace

std::vector<WatchedTable> watched_tables(const Context& context) {
  std::vector<WatchedTable> watched;
  for (const plan::MigratedTable& table : context.tables) {
    watched.push_back({.oid = table.source.oid,
                       .display = table.target.source.display(),
                       .fingerprint = table.fingerprint});
  }
  return watched;
}

bool protect_writers(const Context& context, pg::Connection& connection) {
  for (const WatchedTable& table : watched_tables(context)) {
    const catalog::Fingerprint now = catalog::read_fingerprint(
        connection, table.oid, context.record.publication);
    if (!table.fingerprint.endangers_writers(now)) continue;
    log::error("migration", "publication dropped, so that writers go on",
               "table={} change='{}'", table.display,
               table.fingerprint.shape_difference(now));
    drop_own_publication(context, connection);
    return true;
  }
  return false;
}

void keep(Context& context, const std::stop_token& stop,
          const KeeperCalls& calls) {
  pg::Connection connection = context.open("keeper", stop);
  connection.exec("LISTEN pgrecast");
  const std::string host = host_name();
  RetainedLimit limit(context.options.retained_max);
  while (!stop.stop_requested()) {
    // Before that there is nothing to measure or to lose, but a long wait for
    // others' transactions, in which commands are heard.
    const bool in_stream = context.in_stream;
    const auto slot = capture::read_slot(connection, context.record.slot);
    const std::int64_t retained = slot ? slot->retained_bytes : 0;
    // Also while the slot's creation waits for old transactions: it keeps WAL.
    limit.look(retained);
    if (in_stream) measure(context, connection, retained);
    beat(connection, context.record.name, host, getpid(),
         context.progress->read().to_json());
    if (in_stream) watch(context, connection, context.watched, calls);
    const Command command = take_command(connection, context.record.name);
    if (!command.command.empty()) calls.on_command(command);
    connection.wait_readable(Deadline::in(kBeatEvery));
    connection.notifications();
  }
}

}  // namespace pgrecast::migration
