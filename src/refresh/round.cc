#include "pgrecast/refresh/round.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/rejected_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace pgrecast::refresh {
namespace {

// A stream that lags longer than this behind a fence is broken, or somebody's
// transaction is enormous; the round is begun again then.
constexpr auto kFenceTimeMax = std::chrono::minutes(10);
// The same while a lock on the sources is held.
constexpr auto kFenceUnderLockTimeMax = std::chrono::seconds(3);
// What one transaction that deletes while settling may put into a reorder
// buffer: some 100 bytes a row.
constexpr std::size_t kSettleKeysPerPass = 200000;
// Blocks of the shadow that such a transaction reads: 512 MB, a second or two.
constexpr std::int64_t kSettleBlocksPerPass = 65536;

milliseconds since(Clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
}

bool has_one_form(const RefreshTable& table) {
  return table.table->source.key.value().one_form();
}

bool is_uniqueness_violation(const pg::SqlError& error) {
  return error.sqlstate() == pg::sqlstate::kUniqueViolation ||
         error.sqlstate() == pg::sqlstate::kExclusionViolation;
}

}  // namespace

Snapshot read_snapshot(pg::Connection& connection) {
  return Snapshot::parse(
      connection
          .exec("SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text")
          .text(0, 0));
}

pg::Result Rounds::write_batch(pg::Connection& connection,
                               const std::string& statement,
                               const KeyBatch& batch, Deadline deadline) {
  if (deadline.passed()) {
    throw TimedOut("the last changes take too long under the lock");
  }
  return connection.exec(statement, batch.params(),
                         deadline.earlier(Deadline::in(pg::kStatementTimeMax)));
}

std::int64_t Rounds::insert_batch(pg::Connection& connection,
                                  const RefreshTable& table,
                                  const KeyBatch& batch, Deadline deadline) {
  try {
    return write_batch(connection, table.statements.insert_keys(), batch,
                       deadline)
        .affected();
  } catch (const pg::SqlError& error) {
    rejected_ = Rejected{&table, batch.params()};
    throw;
  }
}

// Outside of the transaction that failed. Of its batch the rows are looked for
// that the shadow refuses; there may be none by now.
void Rounds::rethrow_with_keys(pg::Connection& connection,
                               const pg::SqlError& error) {
  const auto rejected = std::exchange(rejected_, std::nullopt);
  // Of values that are in each other's way the server's words tell more.
  if (!rejected || !error.blames_data() || is_uniqueness_violation(error)) {
    throw;
  }
  std::vector<std::string> keys = plan::rejected_rows(
      connection, *rejected->table->table,
      rejected->table->statements.keys_from(),
      rejected->table->statements.keys_condition(), rejected->params);
  if (keys.empty()) throw;
  throw plan::DataRejected(
      fmt::format("rows of {} do not fit the new shape: {}",
                  rejected->table->table->target.source.display(),
                  error.what()),
      std::move(keys));
}

void Rounds::delete_batches(pg::Connection& connection,
                            const SealedKeys& sealed, const RefreshTable& table,
                            const Snapshot* snapshot, Deadline deadline) {
  const Snapshot* only_seen = rule_on("refresh_unseen") ? nullptr : snapshot;
  auto cursor = sealed.keys(table.table->target.ordinal);
  for (;;) {
    const KeyBatch batch =
        take_batch(cursor, *table.codec, parts_.keys_per_batch, only_seen);
    if (batch.empty()) return;
    write_batch(connection, table.statements.delete_keys(), batch, deadline);
  }
}

void Rounds::insert_batches(pg::Connection& connection,
                            const SealedKeys& sealed, const RefreshTable& table,
                            const Snapshot* snapshot, Deadline deadline,
                            RoundResult& result) {
  const Snapshot* only_seen = rule_on("refresh_unseen") ? nullptr : snapshot;
  auto cursor = sealed.keys(table.table->target.ordinal);
  for (;;) {
    const KeyBatch batch =
        take_batch(cursor, *table.codec, parts_.keys_per_batch, only_seen);
    if (batch.empty()) return;
    result.keys += batch.size();
    result.rows += static_cast<std::uint64_t>(
        insert_batch(connection, table, batch, deadline));
  }
}

// All deletes before any insert: what is left between is a subset of an exact
// state, so that unique values may have moved freely between rows.
void Rounds::refresh_in_transaction(pg::Connection& connection,
                                    const SealedKeys& sealed,
                                    const Snapshot* snapshot, Deadline deadline,
                                    RoundResult& result) {
  for (const RefreshTable& table : parts_.tables) {
    const auto truncated = sealed.truncated(table.table->target.ordinal);
    if (truncated && (snapshot == nullptr || snapshot->sees(*truncated))) {
      connection.exec(table.statements.empty_shadow());
      continue;
    }
    delete_batches(connection, sealed, table, snapshot, deadline);
  }
  for (const RefreshTable& table : parts_.tables) {
    insert_batches(connection, sealed, table, snapshot, deadline, result);
  }
}

void Rounds::forget(SealedKeys&& sealed, const Snapshot& snapshot,
                    const ChangeBuffer::Keep* also_keep) {
  const ForgetGate::Forgetting gate(*parts_.gate);
  parts_.buffer->forget(
      std::move(sealed), [&](TableId table, std::string_view key, Xid64 xid) {
        const bool seen = snapshot.sees(xid) || !rule_on("visibility");
        return !seen || (also_keep != nullptr && (*also_keep)(table, key, xid));
      });
}

// The stream is awaited before anything is locked; under the lock it then has
// little left to bring, or the round lets go and begins again: somebody's ALTER
// TABLE that queued behind us would stop the application.
RoundResult Rounds::exact(pg::Connection& connection) {
  for (;;) {
    parts_.fence(Deadline::in(kFenceTimeMax));
    try {
      return try_exact(connection);
    } catch (const TimedOut& late) {
      log::info("refresh", "round begun again", "reason='{}'", late.what());
    } catch (const pg::SqlError& error) {
      rethrow_with_keys(connection, error);
    }
  }
}

RoundResult Rounds::try_exact(pg::Connection& connection) {
  const auto begin = Clock::now();
  RoundResult result;
  pg::Transaction transaction(connection,
                              pg::Transaction::Isolation::kRepeatableRead);
  parts_.guard->enter(connection);
  const Snapshot snapshot = read_snapshot(connection);
  parts_.fence(Deadline::in(kFenceUnderLockTimeMax));
  SealedKeys sealed = parts_.buffer->seal();
  refresh_in_transaction(connection, sealed, &snapshot, Deadline::never(),
                         result);
  PGRECAST_SYNC_POINT("round:before_commit");
  transaction.commit();
  PGRECAST_SYNC_POINT("round:after_commit");
  forget(std::move(sealed), snapshot, nullptr);
  result.took = since(begin);
  return result;
}

RoundResult Rounds::loose_table(pg::Connection& connection,
                                const SealedKeys& sealed,
                                const RefreshTable& table, bool deletes_first,
                                std::optional<Snapshot>& oldest) {
  const TableId id = table.table->target.ordinal;
  RoundResult result;
  result.keys = sealed.count(id);
  // 1.0 and 1.00 are two dirty keys and one row: the delete of the one would
  // take off again what an earlier batch put in for the other.
  const bool one_form = has_one_form(table);
  if (deletes_first || !one_form) {
    auto cursor = sealed.keys(id);
    for (;;) {
      const KeyBatch batch =
          take_batch(cursor, *table.codec, parts_.keys_per_batch);
      if (batch.empty()) break;
      pg::Transaction transaction(connection);
      parts_.guard->prove_ownership(connection);
      connection.exec(table.statements.delete_keys(), batch.params());
      transaction.commit();
    }
  }
  auto cursor = sealed.keys(id);
  for (;;) {
    const KeyBatch batch =
        take_batch(cursor, *table.codec, parts_.keys_per_batch);
    if (batch.empty()) return result;
    try {
      pg::Transaction transaction(connection,
                                  pg::Transaction::Isolation::kRepeatableRead);
      parts_.guard->enter(connection);
      const Snapshot snapshot = read_snapshot(connection);
      if (!oldest) oldest = snapshot;
      if (one_form) {
        connection.exec(table.statements.delete_keys(), batch.params());
      }
      result.rows += static_cast<std::uint64_t>(
          insert_batch(connection, table, batch, Deadline::never()));
      PGRECAST_SYNC_POINT("round:before_commit");
      transaction.commit();
    } catch (const pg::SqlError& error) {
      if (!is_uniqueness_violation(error) || !rule_on("one_snapshot")) {
        rethrow_with_keys(connection, error);
      }
      skipped_.push_back({id, batch.first_key(), batch.last_key()});
      result.skipped += batch.size();
    }
  }
}

// Before any key is refreshed: emptying a shadow later would take off what was
// put in meanwhile and forgotten.
std::vector<TableId> Rounds::empty_truncated(pg::Connection& connection,
                                             const SealedKeys& sealed,
                                             std::optional<Snapshot>& oldest) {
  std::vector<TableId> emptied;
  for (const RefreshTable& table : parts_.tables) {
    const TableId id = table.table->target.ordinal;
    const auto truncated = sealed.truncated(id);
    if (!truncated) continue;
    pg::Transaction transaction(connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    parts_.guard->enter(connection);
    const Snapshot snapshot = read_snapshot(connection);
    if (!oldest) oldest = snapshot;
    if (!snapshot.sees(*truncated)) continue;
    connection.exec(table.statements.empty_shadow());
    transaction.commit();
    emptied.push_back(id);
  }
  return emptied;
}

RoundResult Rounds::loose(pg::Connection& connection, bool deletes_first) {
  const auto begin = Clock::now();
  RoundResult result;
  parts_.fence(Deadline::in(kFenceTimeMax));
  SealedKeys sealed = parts_.buffer->seal();
  // A later snapshot sees all that an earlier one sees: the first one decides
  // what may be forgotten.
  std::optional<Snapshot> oldest;
  skipped_.clear();
  const std::vector<TableId> emptied =
      empty_truncated(connection, sealed, oldest);
  for (const RefreshTable& table : parts_.tables) {
    const RoundResult one =
        loose_table(connection, sealed, table, deletes_first, oldest);
    result.keys += one.keys;
    result.rows += one.rows;
    result.skipped += one.skipped;
  }
  PGRECAST_SYNC_POINT("round:after_commit");
  // A truncate's mark (an empty key) goes with the keys that came after it.
  const ChangeBuffer::Keep keep = [&](TableId table, std::string_view key,
                                      Xid64 /*xid*/) {
    if (key.empty()) {
      return std::ranges::find(emptied, table) == emptied.end();
    }
    return std::ranges::any_of(skipped_, [&](const Skipped& skipped) {
      return skipped.table == table && key >= skipped.first &&
             key <= skipped.last;
    });
  };
  if (oldest) forget(std::move(sealed), *oldest, &keep);
  result.took = since(begin);
  return result;
}

Snapshot Rounds::enter_and_read_snapshot(pg::Connection& connection) {
  pg::Transaction transaction(connection,
                              pg::Transaction::Isolation::kRepeatableRead);
  parts_.guard->enter(connection);
  Snapshot snapshot = read_snapshot(connection);
  transaction.commit();
  return snapshot;
}

// Off every heap, whichever the key's row belongs to now: while it was copied
// it may have moved from leaf to leaf, and been copied in each.
void Rounds::delete_in_heaps(pg::Connection& connection,
                             const RefreshTable& table, const KeyBatch& batch) {
  std::size_t heap = 0;
  for (const catalog::QualifiedName& name : table.table->target.heaps()) {
    const auto oid =
        catalog::find_relation(connection, name.schema, name.name).value();
    const std::int64_t blocks = catalog::count_blocks(connection, oid);
    for (std::int64_t at = 0; at < blocks; at += kSettleBlocksPerPass) {
      std::vector<pg::Param> params = batch.params();
      params.emplace_back(fmt::format("({},0)", at));
      params.emplace_back(fmt::format("({},0)", at + kSettleBlocksPerPass));
      pg::Transaction transaction(connection);
      parts_.guard->prove_ownership(connection);
      connection.exec(table.statements.delete_keys_in_blocks(heap), params);
      transaction.commit();
    }
    ++heap;
  }
}

std::uint64_t Rounds::settle_batch(pg::Connection& connection,
                                   const RefreshTable& table,
                                   const KeyBatch& batch) {
  try {
    pg::Transaction transaction(connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    parts_.guard->enter(connection);
    const auto rows = static_cast<std::uint64_t>(
        insert_batch(connection, table, batch, Deadline::never()));
    PGRECAST_SYNC_POINT("settle:before_commit");
    transaction.commit();
    return rows;
  } catch (const pg::SqlError& error) {
    rethrow_with_keys(connection, error);
  }
}

RoundResult Rounds::settle(pg::Connection& connection) {
  const auto begin = Clock::now();
  RoundResult result;
  parts_.fence(Deadline::in(kFenceTimeMax));
  SealedKeys sealed = parts_.buffer->seal();
  // The sources are in the files that were copied, so each truncate that is
  // marked by now came before the copy: the marks are void. (A truncate that
  // is delivered but not over yet holds its lock; then this waits and fails.)
  const Snapshot snapshot = enter_and_read_snapshot(connection);
  prefer_hashes(connection);
  for (const RefreshTable& table : parts_.tables) {
    const TableId id = table.table->target.ordinal;
    result.keys += sealed.count(id);
    auto cursor = sealed.keys(id);
    for (;;) {
      const KeyBatch batch =
          take_batch(cursor, *table.codec, kSettleKeysPerPass);
      if (batch.empty()) break;
      delete_in_heaps(connection, table, batch);
      PGRECAST_SYNC_POINT("settle:deleted");
    }
  }
  prefer_key_lookups(connection);
  std::vector<TableId> left_dirty;
  for (const RefreshTable& table : parts_.tables) {
    // Two forms of a key, in two batches, would put its row in twice, and no
    // index tells yet: these rows are for the rounds.
    if (!has_one_form(table) && rule_on("any_form")) {
      left_dirty.push_back(table.table->target.ordinal);
      continue;
    }
    auto cursor = sealed.keys(table.table->target.ordinal);
    for (;;) {
      const KeyBatch batch =
          take_batch(cursor, *table.codec, parts_.keys_per_batch);
      if (batch.empty()) break;
      result.rows += settle_batch(connection, table, batch);
      PGRECAST_SYNC_POINT("settle:inserted");
    }
  }
  // Each batch's snapshot sees what this first one sees.
  const ForgetGate::Forgetting gate(*parts_.gate);
  parts_.buffer->forget(
      std::move(sealed), [&](TableId table, std::string_view key, Xid64 xid) {
        if (key.empty()) return false;
        const bool refreshed =
            std::ranges::find(left_dirty, table) == left_dirty.end();
        return !refreshed || (!snapshot.sees(xid) && rule_on("visibility"));
      });
  result.took = since(begin);
  return result;
}

RoundResult Rounds::drain(pg::Connection& connection, Deadline deadline) {
  const auto begin = Clock::now();
  RoundResult result;
  parts_.fence(deadline);
  const SealedKeys sealed = parts_.buffer->seal();
  // All writers have ended: every dirty key's change is visible.
  refresh_in_transaction(connection, sealed, nullptr, deadline, result);
  result.took = since(begin);
  return result;
}

}  // namespace pgrecast::refresh
