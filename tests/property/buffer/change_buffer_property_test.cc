#include "pgrecast/buffer/change_buffer.h"

#include "unit/buffer/buffer_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace pgrecast {
namespace {

namespace fs = std::filesystem;

using TableKey = std::pair<TableId, std::string>;  // empty: a truncate mark

constexpr std::size_t kTables = 2;
constexpr std::size_t kKeys = 6;

// What must be dirty. `version` tells an entry from the same one noted again.
struct Entry {
  std::uint64_t xid = 0;
  std::uint64_t version = 0;
};
using Entries = std::map<TableKey, Entry>;

struct Transaction {
  std::uint64_t xid = 0;
  Lsn commit_lsn;
  std::vector<TableKey> changes;
};

// Name, size and time of the last write of every file.
using Listing =
    std::map<fs::path, std::pair<std::uintmax_t, fs::file_time_type>>;

Listing list_files(const fs::path& folder, std::error_code& error) {
  Listing files;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    if (!entry->is_regular_file(error)) continue;
    const std::uintmax_t size = entry->file_size(error);
    files[entry->path()] = {size, entry->last_write_time(error)};
  }
  return files;
}

// The folder as it is at one moment, which is what kill -9 leaves. RocksDB's
// own threads remove and write files meanwhile: a copy counts only if nothing
// moved while it was made. (Taken blindly it could hold a manifest without the
// files that it names, or fail on one that has just gone.)
void copy_one_moment(const fs::path& from, const fs::path& to) {
  for (;;) {
    std::error_code error;
    const Listing before = list_files(from, error);
    if (!error) fs::copy(from, to, fs::copy_options::recursive, error);
    if (!error && list_files(from, error) == before && !error) return;
    fs::remove_all(to);
  }
}

// The buffer under test beside a model of what it must hold, and the stream,
// which sends again what the buffer did not keep.
class Harness {
 public:
  Harness() : buffer_(ChangeBuffer::create(path(), identity(), Lsn{1})) {}

  void note() {
    if (!transaction_) {
      // Commit order is not the order of xids.
      transaction_ =
          Transaction{.xid = *rc::gen::inRange<std::uint64_t>(3, 1000),
                      .commit_lsn = {},
                      .changes = {}};
    }
    TableKey key = *any_key();
    if (*rc::gen::inRange(0, 20) == 0) key.second.clear();
    transaction_->changes.push_back(key);
    note_one(key, transaction_->xid);
  }

  void commit() {
    if (!transaction_) return;
    lsn_ += 10;
    transaction_->commit_lsn = Lsn{lsn_};
    buffer_->commit(Lsn{lsn_}, Lsn{lsn_ + 5});
    stream_.push_back(*transaction_);
    transaction_.reset();
  }

  void mark() {
    const TableKey key = *any_key();
    const auto xid = *rc::gen::inRange<std::uint64_t>(0, 1000);
    buffer_->note_dirty(key.first, key.second, Xid64{xid});
    marked_[key] = {.xid = xid, .version = ++version_};
  }

  void sync() {
    const Lsn durable = buffer_->sync();
    RC_ASSERT(durable == buffer_->position());
    marked_durable_ = version_;
  }

  void seal() {
    sealed_ = buffer_->seal();
    changed_then_ = changed_;
    marked_then_ = marked_;
    check_sealed();
  }

  // A snapshot that sees some of the xids.
  void forget() {
    if (!sealed_) return;
    const auto modulus = *rc::gen::inRange<std::uint64_t>(1, 5);
    const auto seen = [modulus](std::uint64_t xid) {
      return xid % modulus == 0;
    };
    buffer_->forget(
        std::move(*sealed_),
        [&](TableId, std::string_view, Xid64 xid) { return !seen(xid.value); });
    sealed_.reset();
    const auto remove = [&seen](Entries& now, const Entries& then) {
      for (const auto& [key, entry] : then) {
        const auto found = now.find(key);
        const bool same =
            found != now.end() && found->second.version == entry.version;
        if (same && seen(entry.xid)) now.erase(found);
      }
    };
    remove(changed_, changed_then_);
    remove(marked_, marked_then_);
  }

  // The process ends, and another opens what is on disk: the folder as it
  // is, or as kill -9 leaves it (a copy from before anything was closed).
  void reopen() {
    sealed_.reset();
    if (*rc::gen::arbitrary<bool>()) {
      const fs::path copy = folder_.path() / fmt::format("b{}", ++copies_);
      copy_one_moment(path(), copy);
      buffer_.reset();
      fs::remove_all(path());
      fs::rename(copy, path());
    }
    const Lsn durable = buffer_ ? buffer_->durable_position() : durable_before_;
    buffer_.reset();
    buffer_.emplace(ChangeBuffer::open(path(), identity()));
    exact_ = false;
    RC_ASSERT(buffer_->position() >= durable);
    RC_ASSERT(buffer_->durable_position() == buffer_->position());
    std::erase_if(marked_, [this](const auto& mark) {
      return mark.second.version > marked_durable_;
    });
    send_again();
  }

  void check() const {
    for (TableId table = 0; table < kTables; ++table) {
      for (std::size_t i = 0; i < kKeys; ++i) {
        const TableKey key{table, fmt::format("key {}", i)};
        check_key(key, buffer_->is_dirty(key.first, key.second));
      }
    }
  }

  // Remembers what was durable, for a crash.
  void before_step() { durable_before_ = buffer_->durable_position(); }

 private:
  static BufferIdentity identity() { return test::some_identity(); }
  fs::path path() const { return folder_.path() / "b"; }

  static rc::Gen<TableKey> any_key() {
    return rc::gen::map(rc::gen::inRange<std::size_t>(0, kTables * kKeys),
                        [](std::size_t n) {
                          return TableKey{static_cast<TableId>(n % kTables),
                                          fmt::format("key {}", n / kTables)};
                        });
  }

  void note_one(const TableKey& key, std::uint64_t xid) {
    if (key.second.empty()) {
      buffer_->note_truncate(key.first, Xid64{xid});
    } else {
      buffer_->note_key(key.first, key.second, Xid64{xid});
    }
    changed_[key] = {.xid = xid, .version = ++version_};
  }

  void send_again() {
    for (const Transaction& transaction : stream_) {
      if (transaction.commit_lsn <= buffer_->last_commit_lsn()) continue;
      for (const TableKey& key : transaction.changes) {
        note_one(key, transaction.xid);
      }
      buffer_->commit(transaction.commit_lsn,
                      Lsn{transaction.commit_lsn.value + 5});
    }
    if (!transaction_) return;
    for (const TableKey& key : transaction_->changes) {
      note_one(key, transaction_->xid);
    }
  }

  void check_key(const TableKey& key, std::optional<Xid64> dirty) const {
    const auto changed = changed_.find(key);
    const auto marked = marked_.find(key);
    if (changed != changed_.end()) {
      RC_ASSERT(dirty == Xid64{changed->second.xid});
    } else if (marked != marked_.end()) {
      RC_ASSERT(dirty.has_value());
      if (exact_) RC_ASSERT(dirty == Xid64{marked->second.xid});
    } else if (exact_) {
      RC_ASSERT(!dirty.has_value());
    }
  }

  void check_sealed() {
    for (TableId table = 0; table < kTables; ++table) {
      const test::KeyXids keys = test::all_keys(*sealed_, table);
      for (std::size_t i = 0; i < kKeys; ++i) {
        const TableKey key{table, fmt::format("key {}", i)};
        const auto found = keys.find(key.second);
        check_key(key, found == keys.end()
                           ? std::nullopt
                           : std::optional(Xid64{found->second}));
      }
      check_key({table, ""}, sealed_->truncated(table));
    }
  }

  test::TempFolder folder_;
  int copies_ = 0;
  std::optional<ChangeBuffer> buffer_;
  std::optional<SealedKeys> sealed_;

  std::vector<Transaction> stream_;
  std::optional<Transaction> transaction_;
  std::uint64_t lsn_ = 100;

  Entries changed_;
  Entries marked_;
  Entries changed_then_;  // at the last seal
  Entries marked_then_;
  std::uint64_t version_ = 0;
  std::uint64_t marked_durable_ = 0;
  Lsn durable_before_;
  bool exact_ = true;  // nothing more is dirty than must be: until a crash
};

// The invariant that everything rests on: a key that was noted, and not
// forgotten by a round that saw its last transaction, is dirty.
RC_GTEST_PROP(ChangeBufferProperty, WhatNoRoundSawStaysDirty, ()) {
  Harness harness;
  const auto steps =
      *rc::gen::container<std::vector<int>>(rc::gen::weightedElement<int>(
          {{12, 0}, {6, 1}, {2, 2}, {2, 3}, {3, 4}, {3, 5}, {1, 6}}));
  for (const int step : steps) {
    harness.before_step();
    switch (step) {
      case 0:
        harness.note();
        break;
      case 1:
        harness.commit();
        break;
      case 2:
        harness.mark();
        break;
      case 3:
        harness.sync();
        break;
      case 4:
        harness.seal();
        break;
      case 5:
        harness.forget();
        break;
      default:
        harness.reopen();
    }
    harness.check();
  }
}

}  // namespace
}  // namespace pgrecast
