#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/runner.h"
#include "pgrecast/pg/errors.h"

#include "context.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

namespace pgrecast::migration {
namespace {

// How long an attempt waits for snapshots that are merely older than the last
// round: their holders could read rows as stale as that.
constexpr auto kRecentSnapshotsTimeMax = std::chrono::seconds(10);
constexpr auto kLookAgain = milliseconds(50);
constexpr auto kSessionGoneTimeMax = std::chrono::seconds(60);

// A session that holds a snapshot, by its virtual transaction: that ends with
// the snapshot, while backend_xmin is pinned by any transaction of any
// database.
struct SnapshotHolder {
  std::string virtual_transaction;
  std::string description;
  bool idle = false;  // in a transaction
};

std::vector<SnapshotHolder> snapshot_holders(pg::Connection& connection,
                                             const std::string& application,
                                             std::optional<Xid64> older_than) {
  const pg::Result rows = connection.exec(
      "SELECT l.virtualtransaction, pg_catalog.format('pid %s (%s, %s, for "
      "%s)',"
      "   a.pid, COALESCE(NULLIF(a.application_name, ''), 'unnamed'), a.state,"
      "   pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - "
      "a.xact_start)),"
      // Of whom we may not see, the worst is assumed.
      "  COALESCE(a.state, 'idle') LIKE 'idle%', "
      "a.backend_xmin::pg_catalog.text"
      " FROM pg_catalog.pg_stat_activity a"
      " JOIN pg_catalog.pg_locks l ON l.pid = a.pid"
      "  AND l.locktype = 'virtualxid' AND l.granted AND l.mode = "
      "'ExclusiveLock'"
      " WHERE a.datname = pg_catalog.current_database()"
      "  AND a.backend_xmin IS NOT NULL AND a.pid <> "
      "pg_catalog.pg_backend_pid()"
      // A subscription copies a table through a WAL sender, in a snapshot.
      "  AND COALESCE(a.backend_type, '') <> 'autovacuum worker'"
      "  AND NOT pg_catalog.starts_with(COALESCE(a.application_name, ''), $1)",
      {application});
  const pg::Result now = connection.exec(
      "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
      "::pg_catalog.text");
  const Xid64 reference{now.number<std::uint64_t>(0, 0)};
  std::vector<SnapshotHolder> holders;
  for (int row = 0; row < rows.rows(); ++row) {
    const Xid64 xmin = widen_xid(rows.number<std::uint32_t>(row, 3), reference);
    if (older_than && xmin >= *older_than) continue;
    holders.push_back({.virtual_transaction = std::string(rows.text(row, 0)),
                       .description = std::string(rows.text(row, 1)),
                       .idle = rows.boolean(row, 2)});
  }
  return holders;
}

// Those of `holders` that are still there.
std::vector<SnapshotHolder> still_there(
    pg::Connection& connection, const std::string& application,
    const std::vector<SnapshotHolder>& holders) {
  std::vector<SnapshotHolder> left;
  for (const SnapshotHolder& now :
       snapshot_holders(connection, application, std::nullopt)) {
    const bool known =
        std::ranges::find(holders, now.virtual_transaction,
                          &SnapshotHolder::virtual_transaction) !=
        holders.end();
    if (known) left.push_back(now);
  }
  return left;
}

std::string describe(const std::vector<SnapshotHolder>& holders) {
  std::vector<std::string> all;
  for (const SnapshotHolder& holder : holders) {
    all.push_back(holder.description);
  }
  return join(all, ", ");
}

// Snapshots from before the first exact round, or from the middle of a loose
// one, would see the new table incomplete: they are waited for however long
// they take. Right after an exact round.
void wait_for_incomplete_snapshots(Context& context) {
  pg::Connection& connection = *context.control;
  const std::string& application = context.endpoint.application;
  auto holders = snapshot_holders(connection, application,
                                  Xid64{context.record.exact_xid});
  bool told = false;
  while (!holders.empty()) {
    if (!std::exchange(told, true)) {
      log::warn("cutover", "waiting for snapshots older than the new table",
                "holders='{}'", describe(holders));
    }
    context.show_waiting("old snapshots to end: " + describe(holders));
    connection.wait_readable(Deadline::in(kLookAgain));
    holders = still_there(connection, application, holders);
  }
  context.show_waiting("");
}

// Snapshots from before the last round: a reason to decline, after a while, if
// one of them is idle in its transaction and may look at the table later.
std::string wait_for_recent_snapshots(Context& context) {
  pg::Connection& connection = *context.control;
  const std::string& application = context.endpoint.application;
  auto holders = snapshot_holders(connection, application, std::nullopt);
  const Deadline deadline = Deadline::in(kRecentSnapshotsTimeMax);
  while (!holders.empty() && !deadline.passed()) {
    context.show_waiting("snapshots to end: " + describe(holders));
    connection.wait_readable(Deadline::in(kLookAgain));
    holders = still_there(connection, application, holders);
  }
  context.show_waiting("");
  std::erase_if(holders,
                [](const SnapshotHolder& holder) { return !holder.idle; });
  if (holders.empty()) return "";
  return "transactions hold snapshots older than the last round: " +
         describe(holders);
}

// Runs `body` under the script's settings, and the session's own before and
// afterwards. In a transaction.
template <typename Body>
void with_script_settings(const Context& context, pg::Connection& connection,
                          const Body& body) {
  std::string list;
  std::vector<pg::Param> names;
  for (const auto& [name, value] : context.record.settings) {
    names.emplace_back(name);
    // One that only the script knows (app.tenant) is not there yet.
    list += fmt::format("{}COALESCE(pg_catalog.current_setting(${}, true), '')",
                        list.empty() ? "" : ", ", names.size());
  }
  const pg::Result ours = connection.exec("SELECT " + list, names);
  const auto set_all = [&](const auto& value_of) {
    int column = 0;
    for (const auto& [name, value] : context.record.settings) {
      connection.exec("SELECT pg_catalog.set_config($1, $2, true)",
                      {name, value_of(column, value)});
      ++column;
    }
  };
  set_all([](int, const std::string& value) { return value; });
  body();
  set_all([&](int column, const std::string&) {
    return std::string(ours.text(0, column));
  });
}

bool has_labels(const Context& context) {
  return std::ranges::any_of(context.tables, [](const auto& table) {
    return !table.fingerprint.key_labels.empty();
  });
}

exchange::ExchangeHooks make_hooks(Context& context, refresh::Rounds& rounds) {
  exchange::ExchangeHooks hooks;
  hooks.check = [&](pg::Connection& connection) {
    context.guard->check_locked(connection);
    PGRECAST_SYNC_POINT("cutover:locked");
  };
  hooks.drain = [&](pg::Connection& connection, Deadline deadline) {
    with_script_settings(context, connection, [&] {
      const refresh::RoundResult round = rounds.drain(connection, deadline);
      log::debug("cutover", "drained", "keys={} took_ms={}", round.keys,
                 round.took.count());
    });
    // No lock keeps the labels of a key's types as they are: the last changes
    // may have been noted by others.
    if (has_labels(context)) context.guard->check_locked(connection);
    PGRECAST_SYNC_POINT("cutover:drained");
  };
  hooks.record = [&](pg::Connection& connection,
                     const std::vector<std::string>& afterwards) {
    set_afterwards(connection, context.record.name, afterwards);
    set_phase(connection, context.record.name, Phase::kExchanged);
    add_event(connection, context.record.name, "phase", "exchanged");
    PGRECAST_SYNC_POINT("cutover:before_commit");
  };
  return hooks;
}

std::vector<exchange::ExchangeTable> exchange_tables(const Context& context) {
  std::vector<exchange::ExchangeTable> tables;
  for (const plan::MigratedTable& table : context.tables) {
    exchange::ExchangeTable one;
    one.target = &table.target;
    one.source_oid = table.source.oid;
    one.shadow_oid = table.shadow_oid;
    one.renamed = table.target.renamed;
    tables.push_back(std::move(one));
  }
  return tables;
}

// After the connection broke on COMMIT: certain, once that session is gone.
bool find_out(Context& context, int backend_pid,
              const exchange::ExchangeTable& table) {
  pg::Connection connection = context.open("control", context.stop);
  const Deadline deadline = Deadline::in(kSessionGoneTimeMax);
  while (!connection
              .exec("SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1",
                    {backend_pid})
              .empty()) {
    if (deadline.passed()) {
      throw Error("the session that was committing the exchange is still there",
                  Remedy::kAskOperator);
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
  return exchange::was_exchanged(connection, table);
}

milliseconds pause_after(int attempt) {
  constexpr std::array<int, 6> kPauses = {200, 500, 1000, 2000, 5000, 10000};
  const auto index =
      std::min<std::size_t>(static_cast<std::size_t>(attempt), kPauses.size()) -
      1;
  std::minstd_rand random(std::random_device{}());
  const int base = kPauses[index];
  return milliseconds(
      std::uniform_int_distribution<int>(base / 2, base)(random));
}

exchange::Attempt attempt(Context& context, pg::Connection& connection) {
  // Ends when the transaction is over, whatever became of it: where our disk
  // stalled, that is waited for without a lock.
  refresh::Rounds rounds = context.make_rounds();
  const auto tables = exchange_tables(context);
  const exchange::ExchangeOptions options{
      .lock_timeout = context.options.lock_timeout,
      .budget = context.options.cutover_budget,
      .own_publication = context.record.publication,
      .twins = context.twins};
  const int backend_pid = connection.backend_pid();
  try {
    return exchange::attempt_exchange(connection, tables, options,
                                      make_hooks(context, rounds));
  } catch (const exchange::ExchangeRefused& error) {
    context.event("not exchanged", error.what());
    throw;
  } catch (const pg::CommitInDoubt& error) {
    log::warn("cutover", "answer to COMMIT lost, looking into the catalog",
              "error='{}'", error.what());
    exchange::Attempt result;
    if (find_out(context, backend_pid, tables.front())) {
      result.outcome = exchange::Attempt::Outcome::kExchanged;
      return result;
    }
    throw pg::ConnectionError(
        "the session broke on COMMIT; the exchange did "
        "not happen");
  } catch (const pg::SqlError& error) {
    // In one of our own statements under the locks: somebody was in the way.
    const bool again = error.remedy() == Remedy::kRetryTransaction ||
                       error.sqlstate() == pg::sqlstate::kQueryCanceled;
    if (!again) throw;
    exchange::Attempt result;
    result.outcome = exchange::Attempt::Outcome::kLockNotGranted;
    result.reason = error.what();
    return result;
  } catch (const TimedOut& error) {
    exchange::Attempt result;
    result.outcome = exchange::Attempt::Outcome::kOverBudget;
    result.reason = error.what();
    return result;
  }
}

}  // namespace

void cut_over(Context& context) {
  for (const plan::MigratedTable& table : context.tables) {
    context.write([&](pg::Connection& connection) {
      exchange::prepare_guard(connection, table.target.retired.schema);
    });
  }
  pg::Connection connection = context.open("cutover", context.stop);
  refresh::prefer_key_lookups(connection);
  std::string reason;
  for (int count = 1; count <= context.options.cutover_attempts; ++count) {
    catch_up(context, true);
    wait_for_incomplete_snapshots(context);
    const std::uint64_t waited_for = context.record.exact_xid;
    make_twins_ready(context);
    catch_up(context, true);
    reason = wait_for_recent_snapshots(context);
    exchange::Attempt result;
    result.reason = reason;
    if (reason.empty()) {
      if (catch_up(context, true) && context.record.exact_xid == waited_for) {
        result = attempt(context, connection);
      } else {
        result.reason =
            "so many rows changed while older snapshots were waited for that a "
            "snapshot of now could see the new table without some of them";
      }
    }
    context.progress->update([&](ProgressData& data) {
      data.cutover_attempts = count;
      data.lock_waited += result.waited;
      data.lock_held = result.held;
    });
    if (result.outcome == exchange::Attempt::Outcome::kExchanged) {
      log::info("cutover", "exchanged",
                "attempt={} lock_waited_ms={} "
                "lock_held_ms={}",
                count, result.waited.count(), result.held.count());
      context.record.phase = Phase::kExchanged;
      return;
    }
    reason = result.reason;
    const milliseconds pause = pause_after(count);
    log::warn("cutover", "not exchanged, backing off",
              "attempt={} reason='{}' next_ms={}", count, reason,
              pause.count());
    context.show_waiting("the next attempt; last: " + reason);
    context.control->wait_readable(Deadline::in(pause));
    context.show_waiting("");
  }
  context.event("not exchanged", reason);
  throw CutoverNotAchieved(
      fmt::format("not exchanged in {} attempts; the last one: {}",
                  context.options.cutover_attempts, reason));
}

}  // namespace pgrecast::migration
