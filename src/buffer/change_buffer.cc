#include "pgrecast/buffer/change_buffer.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"

#include "distinct_estimate.h"
#include "folder.h"
#include "merge.h"
#include "pending_changes.h"
#include "record.h"
#include "sealed_keys_impl.h"
#include "store.h"

#include <fmt/format.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast {
namespace {

namespace fs = std::filesystem;

using buffer::DistinctEstimate;
using buffer::FolderLock;
using buffer::Generation;
using buffer::Kind;
using buffer::Merge;
using buffer::PendingChanges;
using buffer::State;
using buffer::Store;
using rocksdb::WriteBatch;

// What may wait in memory. Larger batches coalesce more and cost a longer
// pause of the receiver; at 8 MB (150,000 small keys) neither matters.
constexpr std::size_t kPendingBytesMax = std::size_t{8} << 20U;

// One write of what is carried over.
constexpr std::size_t kCarryBytesMax = std::size_t{1} << 20U;

// Every generation costs a cursor two iterators. So many gather only when
// rounds fail again and again; then they are folded into one.
constexpr std::size_t kSealedGenerationsMax = 32;

using Estimates = std::map<TableId, DistinctEstimate>;

struct Sealed {
  Generation generation = 0;
  Estimates estimates;
};

void put_state(WriteBatch& batch, Generation generation, const State& state) {
  batch.Put(record_key(generation, buffer::kStateTable, Kind::kState),
            state_value(state));
}

// Those that changed since the last call only.
void put_estimates(WriteBatch& batch, Generation generation,
                   Estimates& estimates) {
  for (auto& [table, estimate] : estimates) {
    if (!estimate.take_changed()) continue;
    std::string key;
    buffer::append_u32(key, table);
    batch.Put(
        record_key(generation, buffer::kEstimateTable, Kind::kEstimate, key),
        estimate.registers());
  }
}

void put_entries(WriteBatch& batch, Generation generation,
                 const PendingChanges& changes) {
  const std::string prefix = buffer::generation_prefix(generation);
  std::string key;
  std::string value;
  for (const PendingChanges::Entry& entry : changes.sorted()) {
    key.assign(prefix).append(changes.suffix_of(entry));
    value.clear();
    buffer::append_u64(value, entry.xid.value);
    batch.Put(key, value);
  }
}

Estimates read_estimates(const Store& store, Generation generation) {
  Estimates estimates;
  const std::string prefix =
      record_key(generation, buffer::kEstimateTable, Kind::kEstimate);
  const std::string upper =
      record_key(generation, buffer::kStateTable, Kind::kState);
  const rocksdb::Slice upper_slice(upper);
  const auto records = store.iterate(&upper_slice);
  for (records->Seek(prefix); records->Valid(); records->Next()) {
    const std::string_view key = buffer::to_view(records->key());
    estimates.emplace(buffer::read_u32(key.substr(prefix.size())),
                      DistinctEstimate(buffer::to_view(records->value())));
  }
  store.check(*records);
  return estimates;
}

struct NewestState {
  Generation open = 0;
  State state;
};

NewestState read_newest_state(const fs::path& path, const Store& store) {
  const auto last = store.iterate(nullptr);
  last->SeekToLast();
  store.check(*last);
  if (!last->Valid()) {
    throw ChangesLost(
        fmt::format("the change buffer {} was never completed", path.string()));
  }
  const std::string_view key = buffer::to_view(last->key());
  const Generation open = buffer::read_u64(key);
  if (key != record_key(open, buffer::kStateTable, Kind::kState)) {
    throw StorageError(fmt::format(
        "the change buffer {} is damaged: no position in its newest generation",
        path.string()));
  }
  return {.open = open,
          .state = buffer::read_state(buffer::to_view(last->value()))};
}

void check_key(TableId table, std::string_view key) {
  PGRECAST_ASSERT(table < buffer::kTableCountMax, "table={}", table);
  PGRECAST_ASSERT(!key.empty(), "an empty key, table={}", table);
}

}  // namespace

// Two locks, always taken in this order:
//
// write_mutex_  one batch at a time, from choosing what goes in until it is on
//               its way to disk. Held across disk: that is its purpose.
// mutex_        the members below it: memory only, never held for long.
class ChangeBuffer::Impl {
 public:
  Impl(std::shared_ptr<Store> store, Generation open, const State& state)
      : store_(std::move(store)),
        open_(open),
        state_(state),
        written_(state),
        durable_(state.position) {}

  // Finds the generations that are there.
  void recover();

  void note(TableId table, Kind kind, std::string_view key, Xid64 xid);
  void commit(Lsn commit_lsn, Lsn end_lsn);
  void advance(Lsn position);
  Lsn sync();
  std::unique_ptr<SealedKeys::Impl> seal();
  void forget(const SealedKeys::Impl& sealed, const Keep& keep);
  std::optional<Xid64> is_dirty(TableId table, std::string_view key) const;
  std::uint64_t dirty_estimate(std::optional<TableId> table) const;

  Lsn last_commit_lsn() const {
    const std::lock_guard lock(mutex_);
    return state_.last_commit;
  }
  Lsn position() const {
    const std::lock_guard lock(mutex_);
    return state_.position;
  }
  Lsn durable_position() const {
    const std::lock_guard lock(mutex_);
    return durable_;
  }
  std::uint64_t bytes_on_disk() const { return store_->bytes_on_disk(); }

 private:
  // What a batch does besides writing what is pending.
  struct Turn {
    bool seal = false;
    // The end of a forget(): what was carried over last, and the oldest
    // generation that is left.
    WriteBatch* carried = nullptr;
    Generation first_live = 0;
  };

  struct Carried {
    WriteBatch last;
    Estimates estimates;
    bool any = false;
  };

  // What is_dirty() needs to know of a moment.
  struct Where {
    std::optional<Xid64> changed;
    std::optional<Xid64> marked;
    std::vector<Generation> generations;  // newest first
    std::uint64_t version = 0;
  };

  // The one way to disk for keys and position; needs write_mutex_. Keys that
  // are pending and the position that they belong to go in one batch, so the
  // position can never be ahead.
  void write_pending(const Turn& turn);
  std::vector<Generation> sealed_generations() const;  // needs mutex_
  std::unique_ptr<SealedKeys::Impl> seal_once();
  Carried carry_over(const SealedKeys::Impl& sealed, const Keep& keep);
  Where where(TableId table, std::string_view key) const;
  std::optional<Xid64> find(const std::vector<Generation>& generations,
                            TableId table, Kind kind,
                            std::string_view key) const;
  // Makes durable what was written.
  Lsn flush();

  const std::shared_ptr<Store> store_;

  std::mutex write_mutex_;
  mutable std::mutex mutex_;

  PendingChanges pending_;
  PendingChanges writing_;  // being written, changed only under both locks
  Generation open_;
  bool open_has_keys_ = false;
  Estimates open_estimates_;
  std::vector<Sealed> sealed_;        // ascending
  std::uint64_t sealed_version_ = 0;  // one more whenever some are dropped
  bool in_transaction_ = false;
  State state_;    // as of the last whole transaction
  State written_;  // in RocksDB
  std::uint64_t batches_written_ = 0;
  std::uint64_t batches_synced_ = 0;
  Lsn durable_;
};

void ChangeBuffer::Impl::recover() {
  // A crash may have come between forgetting and dropping.
  if (state_.first_live > buffer::kFirstGeneration) {
    const std::string live = buffer::generation_prefix(state_.first_live);
    const rocksdb::Slice upper(live);
    const auto dead = store_->iterate(&upper);
    dead->SeekToFirst();
    if (dead->Valid()) store_->drop(0, state_.first_live);
    store_->check(*dead);
  }
  for (const Generation generation :
       store_->generations_from(state_.first_live)) {
    if (generation == open_) {
      open_has_keys_ = true;
    } else {
      sealed_.push_back({.generation = generation,
                         .estimates = read_estimates(*store_, generation)});
    }
  }
  open_estimates_ = read_estimates(*store_, open_);
}

void ChangeBuffer::Impl::note(TableId table, Kind kind, std::string_view key,
                              Xid64 xid) {
  const std::uint64_t hash = buffer::hash_bytes(key);
  {
    const std::lock_guard lock(mutex_);
    const bool is_new = pending_.note(table, kind, key, hash, xid);
    if (is_new && kind != Kind::kTruncate) open_estimates_[table].add(hash);
    // A mark of our own says nothing about the stream.
    if (kind != Kind::kMarked) in_transaction_ = true;
    if (pending_.bytes() < kPendingBytesMax) return;
  }
  const std::lock_guard write_lock(write_mutex_);
  {
    // Another thread may have been faster.
    const std::lock_guard lock(mutex_);
    if (pending_.bytes() < kPendingBytesMax) return;
  }
  write_pending({});
}

void ChangeBuffer::Impl::commit(Lsn commit_lsn, Lsn end_lsn) {
  const std::lock_guard lock(mutex_);
  PGRECAST_ASSERT(commit_lsn > state_.last_commit, "commit_lsn={} last={}",
                  commit_lsn.to_string(), state_.last_commit.to_string());
  PGRECAST_ASSERT(end_lsn > commit_lsn, "commit_lsn={} end_lsn={}",
                  commit_lsn.to_string(), end_lsn.to_string());
  in_transaction_ = false;
  state_.last_commit = commit_lsn;
  state_.position = std::max(state_.position, end_lsn);
}

void ChangeBuffer::Impl::advance(Lsn position) {
  const std::lock_guard lock(mutex_);
  if (in_transaction_) return;
  state_.position = std::max(state_.position, position);
}

Lsn ChangeBuffer::Impl::sync() {
  {
    const std::lock_guard write_lock(write_mutex_);
    write_pending({});
  }
  return flush();
}

Lsn ChangeBuffer::Impl::flush() {
  std::uint64_t batches = 0;
  Lsn position;
  {
    const std::lock_guard lock(mutex_);
    store_->check_usable();
    if (batches_written_ == batches_synced_) return durable_;
    batches = batches_written_;
    position = written_.position;
  }
  store_->sync();
  const std::lock_guard lock(mutex_);
  batches_synced_ = std::max(batches_synced_, batches);
  durable_ = std::max(durable_, position);
  return durable_;
}

void ChangeBuffer::Impl::write_pending(const Turn& turn) {
  store_->check_usable();
  WriteBatch batch;
  if (turn.carried != nullptr) batch = *turn.carried;
  Generation target = 0;
  State state;
  {
    const std::lock_guard lock(mutex_);
    if (turn.carried != nullptr) state_.first_live = turn.first_live;
    const bool nothing_new = pending_.empty() &&
                             state_.position == written_.position &&
                             state_.last_commit == written_.last_commit;
    if (nothing_new && !turn.seal && turn.carried == nullptr) return;
    std::swap(pending_, writing_);
    target = open_;
    put_estimates(batch, open_, open_estimates_);
    open_has_keys_ = open_has_keys_ || !writing_.empty();
    if (turn.seal) {
      if (open_has_keys_) {
        sealed_.push_back({.generation = open_,
                           .estimates = std::exchange(open_estimates_, {})});
      }
      open_ += buffer::kGenerationStep;
      open_has_keys_ = false;
    }
    state = state_;
    put_state(batch, open_, state);
  }

  put_entries(batch, target, writing_);
  PGRECAST_SYNC_POINT("buffer:before_write");
  store_->write(batch);
  PGRECAST_SYNC_POINT("buffer:written");

  const std::lock_guard lock(mutex_);
  writing_.clear();
  written_ = state;
  ++batches_written_;
}

std::vector<Generation> ChangeBuffer::Impl::sealed_generations() const {
  std::vector<Generation> generations;
  generations.reserve(sealed_.size());
  for (const Sealed& sealed : sealed_) generations.push_back(sealed.generation);
  return generations;
}

std::unique_ptr<SealedKeys::Impl> ChangeBuffer::Impl::seal_once() {
  const std::lock_guard write_lock(write_mutex_);
  write_pending({.seal = true});
  const std::lock_guard lock(mutex_);
  return std::make_unique<SealedKeys::Impl>(store_, sealed_generations(),
                                            open_);
}

std::unique_ptr<SealedKeys::Impl> ChangeBuffer::Impl::seal() {
  PGRECAST_SYNC_POINT("buffer:seal");
  auto sealed = seal_once();
  if (sealed->generations.size() <= kSealedGenerationsMax) return sealed;
  forget(*sealed, [](TableId, std::string_view, Xid64) { return true; });
  return seal_once();
}

ChangeBuffer::Impl::Carried ChangeBuffer::Impl::carry_over(
    const SealedKeys::Impl& sealed, const Keep& keep) {
  Merge entries(store_);
  for (auto generation = sealed.generations.rbegin();
       generation != sealed.generations.rend(); ++generation) {
    entries.add(
        buffer::generation_prefix(*generation), {},
        record_key(*generation, buffer::kTableCountMax, Kind::kTruncate));
  }
  const Generation target = sealed.open - 1;
  const std::string prefix = buffer::generation_prefix(target);
  Carried carried;
  WriteBatch slice;
  for (; entries.valid(); entries.next()) {
    const auto [table, kind, key] = buffer::read_suffix(entries.key());
    const Xid64 xid = buffer::read_xid(entries.value());
    if (!keep(table, key, xid)) continue;
    carried.any = true;
    const std::string record = prefix + std::string(entries.key());
    if (kind == Kind::kTruncate) {
      // With the last batch only: after a crash before it, the older
      // generations are still there, and may be forgotten by another round
      // that sees the truncate. A copy of the mark would empty the shadow
      // again.
      carried.last.Put(record, buffer::xid_value(xid));
      continue;
    }
    slice.Put(record, buffer::xid_value(xid));
    carried.estimates[table].add(buffer::hash_bytes(key));
    if (slice.GetDataSize() < kCarryBytesMax) continue;
    store_->write(slice);
    slice.Clear();
  }
  if (slice.Count() > 0) store_->write(slice);
  put_estimates(carried.last, target, carried.estimates);
  return carried;
}

void ChangeBuffer::Impl::forget(const SealedKeys::Impl& sealed,
                                const Keep& keep) {
  Generation first = 0;
  {
    const std::lock_guard lock(mutex_);
    PGRECAST_ASSERT(sealed.open == open_, "sealed at {}, open is {}",
                    sealed.open, open_);
    PGRECAST_ASSERT(sealed.generations == sealed_generations(), "count={}",
                    sealed.generations.size());
    first = state_.first_live;
  }
  if (sealed.generations.empty()) return;

  Carried carried = carry_over(sealed, keep);
  PGRECAST_SYNC_POINT("buffer:carried");
  const Generation end = carried.any ? sealed.open - 1 : sealed.open;
  {
    const std::lock_guard write_lock(write_mutex_);
    write_pending({.carried = &carried.last, .first_live = end});
    const std::lock_guard lock(mutex_);
    sealed_.clear();
    if (carried.any) {
      sealed_.push_back(
          {.generation = end, .estimates = std::move(carried.estimates)});
    }
    ++sealed_version_;
  }
  // Files are removed at once, whatever the log says: what was carried over
  // must be durable before.
  flush();
  PGRECAST_SYNC_POINT("buffer:forgotten");
  store_->drop(first, end);
}

ChangeBuffer::Impl::Where ChangeBuffer::Impl::where(
    TableId table, std::string_view key) const {
  const std::uint64_t hash = buffer::hash_bytes(key);
  const std::lock_guard lock(mutex_);
  const auto find_in_memory = [&](Kind kind) {
    const auto xid = pending_.find(table, kind, key, hash);
    return xid ? xid : writing_.find(table, kind, key, hash);
  };
  Where where;
  where.changed = find_in_memory(Kind::kChanged);
  where.marked = find_in_memory(Kind::kMarked);
  where.generations = sealed_generations();
  where.generations.push_back(open_);
  std::reverse(where.generations.begin(), where.generations.end());
  where.version = sealed_version_;
  return where;
}

std::optional<Xid64> ChangeBuffer::Impl::find(
    const std::vector<Generation>& generations, TableId table, Kind kind,
    std::string_view key) const {
  for (const Generation generation : generations) {
    const auto value = store_->find(record_key(generation, table, kind, key));
    if (value) return buffer::read_xid(*value);
  }
  return std::nullopt;
}

std::optional<Xid64> ChangeBuffer::Impl::is_dirty(TableId table,
                                                  std::string_view key) const {
  for (;;) {
    const Where now = where(table, key);
    if (now.changed) return now.changed;
    auto xid = find(now.generations, table, Kind::kChanged, key);
    if (!xid) xid = now.marked;
    if (!xid) xid = find(now.generations, table, Kind::kMarked, key);
    if (xid) return xid;
    // Not found may mean carried over and dropped while we looked.
    const std::lock_guard lock(mutex_);
    if (now.version == sealed_version_) return std::nullopt;
  }
}

std::uint64_t ChangeBuffer::Impl::dirty_estimate(
    std::optional<TableId> table) const {
  Estimates all;
  {
    const std::lock_guard lock(mutex_);
    const auto merge = [&all, table](const Estimates& estimates) {
      for (const auto& [of_table, estimate] : estimates) {
        if (!table || of_table == *table) all[of_table].merge(estimate);
      }
    };
    merge(open_estimates_);
    for (const Sealed& sealed : sealed_) merge(sealed.estimates);
  }
  std::uint64_t count = 0;
  for (const auto& [of_table, estimate] : all) count += estimate.count();
  return count;
}

ChangeBuffer ChangeBuffer::create(const fs::path& path,
                                  const BufferIdentity& identity, Lsn start) {
  buffer::make_folder(path, identity);
  auto store = std::make_shared<Store>(path, FolderLock(path), true);
  State state;
  state.position = start;
  WriteBatch batch;
  put_state(batch, buffer::kFirstGeneration, state);
  store->write(batch);
  store->sync();
  return ChangeBuffer(std::make_unique<Impl>(std::move(store),
                                             buffer::kFirstGeneration, state));
}

ChangeBuffer ChangeBuffer::open(const fs::path& path,
                                const BufferIdentity& expected) {
  const auto identity = buffer::read_identity(path);
  if (!identity) {
    throw ChangesLost(
        fmt::format("there is no change buffer in {}", path.string()));
  }
  buffer::check_identity(path, *identity, expected);
  FolderLock lock(path);
  // RocksDB's first file: without it there is no database.
  if (!fs::exists(buffer::database_path(path) / "CURRENT")) {
    throw ChangesLost(fmt::format("the change buffer {} has lost its database",
                                  path.string()));
  }
  auto store = std::make_shared<Store>(path, std::move(lock), false);
  const auto [open, state] = read_newest_state(path, *store);
  auto impl = std::make_unique<Impl>(std::move(store), open, state);
  impl->recover();
  return ChangeBuffer(std::move(impl));
}

void ChangeBuffer::destroy(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error) || buffer::remove_unfinished(path)) return;
  if (!fs::exists(path / "identity", error)) {
    throw StorageError(fmt::format(
        "{} is no change buffer's folder: nothing was removed", path.string()));
  }
  const FolderLock lock(path);
  buffer::destroy_store(path);
  buffer::remove_folder(path);
}

ChangeBuffer::ChangeBuffer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
ChangeBuffer::ChangeBuffer(ChangeBuffer&&) noexcept = default;
ChangeBuffer& ChangeBuffer::operator=(ChangeBuffer&&) noexcept = default;
ChangeBuffer::~ChangeBuffer() = default;

void ChangeBuffer::note_key(TableId table, std::string_view key, Xid64 xid) {
  check_key(table, key);
  impl_->note(table, Kind::kChanged, key, xid);
}

void ChangeBuffer::note_truncate(TableId table, Xid64 xid) {
  PGRECAST_ASSERT(table < buffer::kTableCountMax, "table={}", table);
  impl_->note(table, Kind::kTruncate, {}, xid);
}

void ChangeBuffer::note_dirty(TableId table, std::string_view key, Xid64 xid) {
  check_key(table, key);
  impl_->note(table, Kind::kMarked, key, xid);
}

void ChangeBuffer::commit(Lsn commit_lsn, Lsn end_lsn) {
  impl_->commit(commit_lsn, end_lsn);
}

void ChangeBuffer::advance(Lsn position) {
  impl_->advance(position);
}

Lsn ChangeBuffer::last_commit_lsn() const {
  return impl_->last_commit_lsn();
}

Lsn ChangeBuffer::position() const {
  return impl_->position();
}

Lsn ChangeBuffer::sync() {
  return impl_->sync();
}

Lsn ChangeBuffer::durable_position() const {
  return impl_->durable_position();
}

SealedKeys ChangeBuffer::seal() {
  return SealedKeys(impl_->seal());
}

void ChangeBuffer::forget(SealedKeys&& sealed, const Keep& keep) {
  const SealedKeys taken = std::move(sealed);
  impl_->forget(*taken.impl_, keep);
}

void ChangeBuffer::forget(SealedKeys&& sealed, const Snapshot& snapshot) {
  forget(std::move(sealed), [&snapshot](TableId, std::string_view, Xid64 xid) {
    return !snapshot.sees(xid);
  });
}

std::optional<Xid64> ChangeBuffer::is_dirty(TableId table,
                                            std::string_view key) const {
  return impl_->is_dirty(table, key);
}

std::uint64_t ChangeBuffer::dirty_estimate(TableId table) const {
  return impl_->dirty_estimate(table);
}

std::uint64_t ChangeBuffer::dirty_estimate() const {
  return impl_->dirty_estimate(std::nullopt);
}

std::uint64_t ChangeBuffer::bytes_on_disk() const {
  return impl_->bytes_on_disk();
}

}  // namespace pgrecast
