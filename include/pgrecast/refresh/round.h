#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/snapshot.h"
#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/forget_gate.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/refresh/key_batch.h"
#include "pgrecast/refresh/statements.h"

#include <cstdint>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pgrecast::refresh {

// One table, ready to be refreshed.
struct RefreshTable {
  const plan::MigratedTable* table = nullptr;
  const KeyCodec* codec = nullptr;
  Statements statements;
};

// What a pass did.
struct RoundResult {
  std::uint64_t keys = 0;     // dirty when it began
  std::uint64_t rows = 0;     // put in
  std::uint64_t skipped = 0;  // keys left dirty: a unique value was in the way
  std::uint64_t violations = 0;  // batches that met one
  // An exact round that had more keys than it may: nothing was done.
  bool given_up = false;
  milliseconds took{0};
};

// Keeps the shadows in step: runs rounds over the keys in the change buffer.
// Belongs to one thread at a time, and so do its sessions. Where a stalled disk
// kept it from the buffer under a lock, the destructor waits for the disk.
class Rounds {
 public:
  struct Parts {
    std::vector<RefreshTable> tables;
    ChangeBuffer* buffer = nullptr;
    ForgetGate* gate = nullptr;
    const catalog::SourceGuard* guard = nullptr;
    // Returns when every transaction that committed before the call was noted.
    // What it is given besides, if anything, is asked every second whether to
    // wait on. Throws TimedOut.
    std::function<void(Deadline, const std::function<bool()>&)> fence;
    std::stop_token stop;
    // How many rows of a server-wide reorder buffer a transaction may fill;
    // fewer where rows are large.
    std::size_t keys_per_batch = 20000;
  };
  static constexpr std::uint64_t kAnyNumber =
      std::numeric_limits<std::uint64_t>::max();

  explicit Rounds(Parts parts)
      : parts_(std::move(parts)), batch_size_(parts_.keys_per_batch) {}

  // An exact round: one transaction, one snapshot S, a fence after S, and every
  // key that is dirty then. Afterwards the shadows are the sources as of S. For
  // as many keys as fit into a few seconds: it is given up, before it writes
  // anything, where more than `keys_max` are dirty by then. Where somebody
  // waits for its lock for longer, it lets go and begins again. Throws SqlError
  // where values are in each other's way (is_uniqueness_violation).
  RoundResult exact(pg::Connection& connection,
                    std::uint64_t keys_max = kAnyNumber);

  // A round of many short transactions, each with a snapshot of its own. The
  // shadows are no state of the sources afterwards, but nearer to it.
  // `deletes_first`: for tables with unique constraints besides the key. Where
  // a batch meets a unique violation all the same (a value moved since the
  // round began), what the shadow takes is put in, and the other keys stay
  // dirty.
  RoundResult loose(pg::Connection& connection, bool deletes_first);

  // Before there is an index: takes every row whose key is dirty off the
  // shadows, pass by pass, and puts in one of each. Afterwards every key stands
  // at most once. Rows whose key has several forms are only taken off, and stay
  // dirty: rounds put them in, by the key's index. To be begun again from the
  // start after a crash.
  RoundResult settle(pg::Connection& connection);

  // Under the exchange's locks, in its transaction: refreshes what is dirty
  // after a fence, all of which is visible. Nothing is forgotten: after the
  // exchange's commit the buffer is of no use, and without it all stays dirty.
  // Throws TimedOut at the deadline, in the middle of a statement, too: a
  // large transaction may have committed just before the lock.
  RoundResult drain(pg::Connection& connection, Deadline deadline);

 private:
  KeyBatch next_batch(SealedKeys::Cursor& cursor,
                      const RefreshTable& table) const;
  // While a lock is held, our own disk is touched through these only. They end
  // as give_way() does.
  template <typename Work>
  std::invoke_result_t<Work> under_lock(pg::Connection& connection,
                                        Deadline deadline, Work work);
  std::shared_ptr<SealedKeys> seal_under_lock(pg::Connection& connection,
                                              Deadline deadline);
  struct Reading;
  static std::shared_ptr<Reading> read_under_lock(
      const std::shared_ptr<const SealedKeys>& sealed,
      const RefreshTable& table, const Snapshot* snapshot);
  KeyBatch next_under_lock(pg::Connection& connection,
                           const std::shared_ptr<Reading>& reading,
                           Deadline deadline);
  // Between two batches of one transaction that holds a lock.
  void give_way(pg::Connection& connection, Deadline deadline);
  void forget(SealedKeys&& sealed, const Snapshot& snapshot,
              const ChangeBuffer::Keep* also_keep);
  // Until the deadline all three: then they throw TimedOut.
  void refresh_in_transaction(pg::Connection& connection,
                              const std::shared_ptr<const SealedKeys>& sealed,
                              const Snapshot* snapshot, Deadline deadline,
                              RoundResult& result);
  void insert_batches(pg::Connection& connection,
                      const std::shared_ptr<const SealedKeys>& sealed,
                      const RefreshTable& table, const Snapshot* snapshot,
                      Deadline deadline, RoundResult& result);
  void delete_batches(pg::Connection& connection,
                      const std::shared_ptr<const SealedKeys>& sealed,
                      const RefreshTable& table, const Snapshot* snapshot,
                      Deadline deadline);
  // What the batches of a loose round share.
  struct Loose {
    pg::Connection& connection;
    const SealedKeys& sealed;
    bool deletes_first = false;
    // A later snapshot sees all that an earlier one sees: the first one decides
    // what may be forgotten.
    std::optional<Snapshot> oldest;
    RoundResult result;
  };
  void loose_table(Loose& loose, const RefreshTable& table);
  void delete_in_batches(Loose& loose, const RefreshTable& table);
  void refresh_or_leave(Loose& loose, const RefreshTable& table,
                        const KeyBatch& batch);
  // The numbers of the keys that were kept out, from 1 in the batch's order;
  // without `leave_conflicts` none are, and a violation gives nothing.
  std::optional<std::vector<std::size_t>> refresh_batch(
      Loose& loose, const RefreshTable& table, const KeyBatch& batch,
      bool leave_conflicts);
  void leave_dirty(Loose& loose, TableId table, const KeyBatch& batch,
                   const std::vector<std::size_t>& numbers);
  bool was_skipped(TableId table, std::string_view key) const;
  // Carries the truncates out that are over; returns whose.
  std::vector<TableId> empty_truncated(Loose& loose);

  RoundResult try_exact(pg::Connection& connection, std::uint64_t keys_max);
  bool holds_more_than(pg::Connection& connection,
                       const std::shared_ptr<const SealedKeys>& sealed,
                       std::uint64_t keys_max);
  Snapshot enter_and_read_snapshot(pg::Connection& connection);
  std::int64_t insert_batch(pg::Connection& connection,
                            const RefreshTable& table, const KeyBatch& batch,
                            Deadline deadline, bool leave_conflicts = false);
  std::uint64_t settle_batch(pg::Connection& connection,
                             const RefreshTable& table, const KeyBatch& batch);
  [[noreturn]] void rethrow_with_keys(pg::Connection& connection,
                                      const pg::SqlError& error);
  void delete_in_heaps(pg::Connection& connection, const RefreshTable& table,
                       const KeyBatch& batch);

  // The keys that loose() left dirty: ranges that do not overlap, the last key
  // of each by its first.
  using Ranges = std::map<std::string, std::string, std::less<>>;

  // The batch that the shadow did not take.
  struct Rejected {
    const RefreshTable* table = nullptr;
    std::vector<pg::Param> params;
  };

  Parts parts_;
  BatchSize batch_size_;
  Clock::time_point next_look_;  // of an exact round: who waits for it
  std::map<TableId, Ranges> skipped_;
  std::optional<Rejected> rejected_;
  std::future<void> disk_;  // under_lock()'s; last, so that it ends first
};

Snapshot read_snapshot(pg::Connection& connection);

// Of a unique or an exclusion constraint.
bool is_uniqueness_violation(const pg::SqlError& error);

}  // namespace pgrecast::refresh
