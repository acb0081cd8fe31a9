#include "pgrecast/refresh/round.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/rejected_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>

namespace pgrecast::refresh {
namespace {

// How long a fence is waited for under a lock on the sources. Without one there
// is no limit: a receiver that was away for a night, or somebody's enormous
// transaction, takes as long as it takes, and one that fails ends the wait.
constexpr auto kFenceTimeMax = std::chrono::minutes(10);
// After how long under its lock an exact round looks who waits for it, and then
// again.
constexpr auto kLookEvery = std::chrono::seconds(1);
// What one transaction that deletes while settling may put into a reorder
// buffer: some 100 bytes a row.
constexpr std::size_t kSettleKeysPerPass = 200000;
// Blocks of the shadow that such a transaction reads: 512 MB, a second or two.
constexpr std::int64_t kSettleBlocksPerPass = 65536;

constexpr std::string_view kNotInPrerequisiteState = "55000";
constexpr std::string_view kInvalidTextRepresentation = "22P02";

milliseconds since(Clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
}

bool has_one_form(const RefreshTable& table) {
  return table.table->source.key.value().one_form();
}

// Takes the rows of keys off a shadow: the first statement that reads the keys
// as the types that they are of. What the stream called a key by may be no
// value any more: a label of an enum type that was renamed since. Its row is
// unknown.
void delete_rows(pg::Connection& connection, const RefreshTable& table,
                 const std::string& statement,
                 const std::vector<pg::Param>& params,
                 Deadline deadline = Deadline::never()) {
  try {
    connection.exec(statement, params,
                    deadline.earlier(Deadline::in(pg::kStatementTimeMax)));
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != kInvalidTextRepresentation) throw;
    throw ChangesLost(
        fmt::format("a row of {} changed under a key that the server cannot "
                    "read any more: {}",
                    table.table->target.source.display(), error.what()));
  }
}

// Whether somebody's statement stands behind a lock of the transaction.
bool is_waited_for(pg::Connection& connection) {
  return connection
      .exec(
          "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks AS l"
          " WHERE NOT l.granted AND l.locktype OPERATOR(pg_catalog.=)"
          " 'relation' AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=)"
          " ANY (pg_catalog.pg_blocking_pids(l.pid)))")
      .boolean(0, 0);
}

void refuse_late(Deadline deadline) {
  if (!deadline.passed()) return;
  throw TimedOut("the last changes take too long under the lock");
}

}  // namespace

bool is_uniqueness_violation(const pg::SqlError& error) {
  return error.sqlstate() == pg::sqlstate::kUniqueViolation ||
         error.sqlstate() == pg::sqlstate::kExclusionViolation;
}

Snapshot read_snapshot(pg::Connection& connection) {
  return Snapshot::parse(
      connection
          .exec("SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text")
          .text(0, 0));
}

KeyBatch Rounds::next_batch(SealedKeys::Cursor& cursor,
                            const RefreshTable& table) const {
  return take_batch(cursor, *table.codec, batch_size_.keys());
}

// A disk may stall for minutes, and whoever waits for our lock must not wait
// for that: so while one is held, the disk is waited for as the stream is. What
// was begun ends on a thread of its own, whenever it does; nothing else of the
// buffer is touched before (see exact(), and the destructor).
template <typename Work>
std::invoke_result_t<Work> Rounds::under_lock(pg::Connection& connection,
                                              Deadline deadline, Work work) {
  std::packaged_task<std::invoke_result_t<Work>()> task(std::move(work));
  auto result = task.get_future();
  disk_ = std::async(std::launch::async, std::move(task));
  while (result.wait_until(deadline.earlier(Deadline::in(kLookEvery)).at()) ==
         std::future_status::timeout) {
    give_way(connection, deadline);
  }
  return result.get();
}

// Owned by whoever reads, also where nobody waits for it any more.
struct Rounds::Reading {
  std::shared_ptr<const SealedKeys> sealed;
  TableId table = 0;
  const KeyCodec* codec = nullptr;
  std::optional<Snapshot> only_seen;
  std::optional<SealedKeys::Cursor> cursor;
};

std::shared_ptr<Rounds::Reading> Rounds::read_under_lock(
    const std::shared_ptr<const SealedKeys>& sealed, const RefreshTable& table,
    const Snapshot* snapshot) {
  auto reading = std::make_shared<Reading>();
  reading->sealed = sealed;
  reading->table = table.table->target.ordinal;
  reading->codec = table.codec;
  if (snapshot != nullptr && !rule_on("refresh_unseen")) {
    reading->only_seen = *snapshot;
  }
  return reading;
}

// As next_batch().
KeyBatch Rounds::next_under_lock(pg::Connection& connection,
                                 const std::shared_ptr<Reading>& reading,
                                 Deadline deadline) {
  const std::size_t keys_max = batch_size_.keys();
  return under_lock(connection, deadline, [reading, keys_max] {
    Reading& from = *reading;
    if (!from.cursor) from.cursor = from.sealed->keys(from.table);
    return take_batch(*from.cursor, *from.codec, keys_max,
                      from.only_seen ? &*from.only_seen : nullptr);
  });
}

void Rounds::give_way(pg::Connection& connection, Deadline deadline) {
  refuse_late(deadline);
  // The exchange has its own lock, and a deadline for all of it.
  if (!deadline.is_never() || Clock::now() < next_look_) return;
  next_look_ = Clock::now() + kLookEvery;
  if (!is_waited_for(connection)) return;
  throw TimedOut("somebody waits for the lock of a long round");
}

std::int64_t Rounds::insert_batch(pg::Connection& connection,
                                  const RefreshTable& table,
                                  const KeyBatch& batch, Deadline deadline,
                                  bool leave_conflicts) {
  const Statements& statements = table.statements;
  refuse_late(deadline);
  const auto begin = Clock::now();
  try {
    const auto rows =
        connection
            .exec(leave_conflicts ? statements.insert_what_is_free()
                                  : statements.insert_keys(),
                  batch.params(),
                  deadline.earlier(Deadline::in(pg::kStatementTimeMax)))
            .affected();
    batch_size_.took(batch.size(), since(begin));
    return rows;
  } catch (const TimedOut&) {
    batch_size_.took_too_long();
    throw;
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
                            const std::shared_ptr<const SealedKeys>& sealed,
                            const RefreshTable& table, const Snapshot* snapshot,
                            Deadline deadline) {
  const auto reading = read_under_lock(sealed, table, snapshot);
  for (;;) {
    const KeyBatch batch = next_under_lock(connection, reading, deadline);
    if (batch.empty()) return;
    give_way(connection, deadline);
    delete_rows(connection, table, table.statements.delete_keys(),
                batch.params(), deadline);
  }
}

void Rounds::insert_batches(pg::Connection& connection,
                            const std::shared_ptr<const SealedKeys>& sealed,
                            const RefreshTable& table, const Snapshot* snapshot,
                            Deadline deadline, RoundResult& result) {
  const auto reading = read_under_lock(sealed, table, snapshot);
  for (;;) {
    const KeyBatch batch = next_under_lock(connection, reading, deadline);
    if (batch.empty()) return;
    give_way(connection, deadline);
    result.keys += batch.size();
    result.rows += static_cast<std::uint64_t>(
        insert_batch(connection, table, batch, deadline));
  }
}

// All deletes before any insert: what is left between is a subset of an exact
// state, so that unique values may have moved freely between rows.
void Rounds::refresh_in_transaction(
    pg::Connection& connection, const std::shared_ptr<const SealedKeys>& sealed,
    const Snapshot* snapshot, Deadline deadline, RoundResult& result) {
  for (const RefreshTable& table : parts_.tables) {
    const auto truncated = under_lock(
        connection, deadline, [sealed, id = table.table->target.ordinal] {
          return sealed->truncated(id);
        });
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
// no more left to bring than it lags behind all the time. Somebody's ALTER
// TABLE that queues behind us would stop the application: the round lets go for
// it, and begins again.
RoundResult Rounds::exact(pg::Connection& connection, std::uint64_t keys_max) {
  for (;;) {
    if (disk_.valid()) disk_.wait();
    parts_.fence(Deadline::never(), {});
    try {
      return try_exact(connection, keys_max);
    } catch (const TimedOut& late) {
      log::info("refresh", "round begun again", "reason='{}'", late.what());
    } catch (const pg::SqlError& error) {
      rethrow_with_keys(connection, error);
    }
  }
}

RoundResult Rounds::try_exact(pg::Connection& connection,
                              std::uint64_t keys_max) {
  const auto begin = Clock::now();
  RoundResult result;
  pg::Transaction transaction(connection,
                              pg::Transaction::Isolation::kRepeatableRead);
  parts_.guard->enter(connection);
  const Snapshot snapshot = read_snapshot(connection);
  PGRECAST_SYNC_POINT("exact:snapshot");
  parts_.fence(Deadline::in(kFenceTimeMax),
               [&] { return !is_waited_for(connection); });
  next_look_ = Clock::now() + kLookEvery;
  const auto sealed = seal_under_lock(connection, Deadline::never());
  if (holds_more_than(connection, sealed, keys_max)) {
    result.given_up = true;
    return result;
  }
  refresh_in_transaction(connection, sealed, &snapshot, Deadline::never(),
                         result);
  PGRECAST_SYNC_POINT("round:before_commit");
  transaction.commit();
  PGRECAST_SYNC_POINT("round:after_commit");
  forget(std::move(*sealed), snapshot, nullptr);
  result.took = since(begin);
  return result;
}

// Of millions no more are read than it takes to tell: a lock is held.
bool Rounds::holds_more_than(pg::Connection& connection,
                             const std::shared_ptr<const SealedKeys>& sealed,
                             std::uint64_t keys_max) {
  if (keys_max == kAnyNumber) return false;
  return under_lock(connection, Deadline::never(), [sealed, keys_max] {
    std::uint64_t count = 0;
    for (const TableId table : sealed->tables()) {
      auto cursor = sealed->keys(table);
      for (; cursor.valid(); cursor.next()) {
        if (++count > keys_max) return true;
      }
    }
    return false;
  });
}

std::shared_ptr<SealedKeys> Rounds::seal_under_lock(pg::Connection& connection,
                                                    Deadline deadline) {
  return under_lock(connection, deadline, [buffer = parts_.buffer] {
    return std::make_shared<SealedKeys>(buffer->seal());
  });
}

void Rounds::delete_in_batches(Loose& loose, const RefreshTable& table) {
  auto cursor = loose.sealed.keys(table.table->target.ordinal);
  for (;;) {
    const KeyBatch batch = next_batch(cursor, table);
    if (batch.empty()) return;
    pg::Transaction transaction(loose.connection);
    parts_.guard->prove_ownership(loose.connection);
    delete_rows(loose.connection, table, table.statements.delete_keys(),
                batch.params());
    transaction.commit();
  }
}

std::optional<std::vector<std::size_t>> Rounds::refresh_batch(
    Loose& loose, const RefreshTable& table, const KeyBatch& batch,
    bool leave_conflicts) {
  pg::Connection& connection = loose.connection;
  std::vector<std::size_t> kept_out;
  try {
    pg::Transaction transaction(connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    parts_.guard->enter(connection);
    const Snapshot snapshot = read_snapshot(connection);
    if (!loose.oldest) loose.oldest = snapshot;
    if (has_one_form(table)) {
      delete_rows(connection, table, table.statements.delete_keys(),
                  batch.params());
    }
    const auto rows = static_cast<std::uint64_t>(insert_batch(
        connection, table, batch, Deadline::never(), leave_conflicts));
    if (leave_conflicts) {
      const pg::Result numbers =
          connection.exec(table.statements.keys_kept_out(), batch.params());
      for (int row = 0; row < numbers.rows(); ++row) {
        kept_out.push_back(numbers.number<std::size_t>(row, 0));
      }
    }
    PGRECAST_SYNC_POINT("round:before_commit");
    transaction.commit();
    loose.result.rows += rows;
  } catch (const pg::SqlError& error) {
    // Conflicts with a deferrable constraint cannot be left (55000).
    const bool in_the_way =
        is_uniqueness_violation(error) ||
        (leave_conflicts && error.sqlstate() == kNotInPrerequisiteState);
    if (!in_the_way || !rule_on("one_snapshot")) {
      rethrow_with_keys(connection, error);
    }
    rejected_.reset();
    return std::nullopt;
  }
  PGRECAST_SYNC_POINT("loose:written");
  return kept_out;
}

// One value that moved while the round runs keeps its row out, and not all of
// its batch.
void Rounds::refresh_or_leave(Loose& loose, const RefreshTable& table,
                              const KeyBatch& batch) {
  if (refresh_batch(loose, table, batch, false)) return;
  ++loose.result.violations;
  auto kept_out = refresh_batch(loose, table, batch, true);
  if (!kept_out) {
    kept_out.emplace(batch.size());
    std::iota(kept_out->begin(), kept_out->end(), std::size_t{1});
  }
  leave_dirty(loose, table.table->target.ordinal, batch, *kept_out);
}

void Rounds::leave_dirty(Loose& loose, TableId table, const KeyBatch& batch,
                         const std::vector<std::size_t>& numbers) {
  Ranges& ranges = skipped_[table];
  auto cursor = loose.sealed.keys(table, batch.first_key());
  auto range = ranges.end();
  std::size_t at = 1;
  for (const std::size_t number : numbers) {
    const bool follows = range != ranges.end() && number == at + 1;
    for (; at < number; ++at) cursor.next();
    PGRECAST_ASSERT(cursor.valid(), "number={} of={}", number, batch.size());
    const std::string key(cursor.key());
    if (follows) {
      range->second = key;
    } else {
      range = ranges.emplace(key, key).first;
    }
  }
  loose.result.skipped += numbers.size();
}

void Rounds::loose_table(Loose& loose, const RefreshTable& table) {
  const TableId id = table.table->target.ordinal;
  loose.result.keys += loose.sealed.count(id);
  // 1.0 and 1.00 are two dirty keys and one row: the delete of the one would
  // take off again what an earlier batch put in for the other.
  if (loose.deletes_first || !has_one_form(table)) {
    delete_in_batches(loose, table);
  }
  auto cursor = loose.sealed.keys(id);
  for (;;) {
    const KeyBatch batch = next_batch(cursor, table);
    if (batch.empty()) return;
    refresh_or_leave(loose, table, batch);
  }
}

// Before any key is refreshed: emptying a shadow later would take off what was
// put in meanwhile and forgotten.
std::vector<TableId> Rounds::empty_truncated(Loose& loose) {
  std::vector<TableId> emptied;
  for (const RefreshTable& table : parts_.tables) {
    const TableId id = table.table->target.ordinal;
    const auto truncated = loose.sealed.truncated(id);
    if (!truncated) continue;
    pg::Transaction transaction(loose.connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    parts_.guard->enter(loose.connection);
    const Snapshot snapshot = read_snapshot(loose.connection);
    if (!loose.oldest) loose.oldest = snapshot;
    if (!snapshot.sees(*truncated)) continue;
    loose.connection.exec(table.statements.empty_shadow());
    transaction.commit();
    emptied.push_back(id);
  }
  return emptied;
}

bool Rounds::was_skipped(TableId table, std::string_view key) const {
  const auto ranges = skipped_.find(table);
  if (ranges == skipped_.end()) return false;
  const auto behind = ranges->second.upper_bound(key);
  return behind != ranges->second.begin() && key <= std::prev(behind)->second;
}

RoundResult Rounds::loose(pg::Connection& connection, bool deletes_first) {
  const auto begin = Clock::now();
  parts_.fence(Deadline::never(), {});
  SealedKeys sealed = parts_.buffer->seal();
  skipped_.clear();
  Loose loose{.connection = connection,
              .sealed = sealed,
              .deletes_first = deletes_first,
              .oldest = {},
              .result = {}};
  const std::vector<TableId> emptied = empty_truncated(loose);
  for (const RefreshTable& table : parts_.tables) loose_table(loose, table);
  PGRECAST_SYNC_POINT("round:after_commit");
  // A truncate's mark (an empty key) goes with the keys that came after it.
  const ChangeBuffer::Keep keep = [&](TableId table, std::string_view key,
                                      Xid64 /*xid*/) {
    if (key.empty()) {
      return std::ranges::find(emptied, table) == emptied.end();
    }
    return was_skipped(table, key);
  };
  if (loose.oldest) forget(std::move(sealed), *loose.oldest, &keep);
  loose.result.took = since(begin);
  return loose.result;
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
      delete_rows(connection, table,
                  table.statements.delete_keys_in_blocks(heap), params);
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
  parts_.fence(Deadline::never(), {});
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
      const KeyBatch batch = next_batch(cursor, table);
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
  parts_.fence(deadline, {});
  const auto sealed = seal_under_lock(connection, deadline);
  // All writers have ended: every dirty key's change is visible.
  refresh_in_transaction(connection, sealed, nullptr, deadline, result);
  result.took = since(begin);
  return result;
}

}  // namespace pgrecast::refresh
