#pragma once

#include "folder.h"
#include "record.h"

#include <rocksdb/db.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::buffer {

inline rocksdb::Slice to_slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
inline std::string_view to_view(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// RocksDB, with its statuses turned into StorageError. Any thread.
//
// Writes go to RocksDB's own log, which stays in our memory until sync()
// (manual_wal_flush). What a crash leaves is a prefix of the batches, whole
// ones, in the order of writing: there is one column family and one log.
class Store {
 public:
  // Holds the lock for as long as it lives.
  Store(const std::filesystem::path& folder, FolderLock lock, bool create);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // After one that failed, all fail: RocksDB might go on with a hole.
  void write(rocksdb::WriteBatch& batch);

  // All batches written by now are durable afterwards.
  void sync();

  // Throws what the last failed write threw, if one did.
  void check_usable() const;

  std::optional<std::string> find(const std::string& key) const;

  // `upper` must live as long as the iterator; null: no bound.
  std::unique_ptr<rocksdb::Iterator> iterate(const rocksdb::Slice* upper) const;
  void check(const rocksdb::Iterator& iterator) const;

  // Removes the generations from `first` to before `end`: whole files at once,
  // the rest by a range tombstone, which compaction carries out. Nobody may
  // read them any more. Whatever makes them needless must be synced before.
  void drop(Generation first, Generation end);

  // Those from `first` on that have a record of a table.
  std::vector<Generation> generations_from(Generation first) const;

  std::uint64_t bytes_on_disk() const;

 private:
  void check(const rocksdb::Status& status, std::string_view what) const;

  // Runs what touches RocksDB's log, one at a time, until one has failed.
  //
  // After a failed write of its log RocksDB must not be asked again: Debian's
  // library is built with assertions, and aborts the process when another
  // thread writes or syncs the log whose file had an error. So nobody may be
  // on the way in while the first one fails.
  template <typename Operation>
  void run_on_log(Operation operation, std::string_view what) {
    const std::lock_guard lock(log_mutex_);
    check_usable();
    const rocksdb::Status status = operation();
    if (!status.ok()) failed_ = true;
    check(status, what);
  }

  std::filesystem::path path_;
  FolderLock lock_;
  std::unique_ptr<rocksdb::DB> db_;
  std::mutex log_mutex_;  // held across disk: see run_on_log()
  std::atomic<bool> failed_ = false;
  std::atomic<unsigned> drops_ = 0;
};

// Removes RocksDB's files. Throws StorageError.
void destroy_store(const std::filesystem::path& folder);

}  // namespace pgrecast::buffer
