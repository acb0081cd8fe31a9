#include "store.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <cstddef>
#include <system_error>
#include <utility>

namespace pgrecast::buffer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMegabyte = std::size_t{1} << 20U;

// The budget: two memtables, one of them on its way to disk, a small cache (a
// refresh reads each key once), and index blocks of the open files.
rocksdb::Options options_for(bool create) {
  rocksdb::Options options;
  options.create_if_missing = create;
  options.error_if_exists = create;
  options.write_buffer_size = 32 * kMegabyte;
  options.max_write_buffer_number = 2;
  options.target_file_size_base = 16 * kMegabyte;
  options.max_open_files = 256;
  options.max_background_jobs = 2;
  options.manual_wal_flush = true;
  // Batches come sorted: begin the search for each key's place where the last
  // one went in. (Needs memtables that one thread at a time writes to, and the
  // receiver is nearly alone.)
  options.memtable_insert_with_hint_prefix_extractor.reset(
      rocksdb::NewFixedPrefixTransform(kKeyHeadBytes));
  options.allow_concurrent_memtable_write = false;
  // Space taken ahead of need would make a small buffer look large, and be
  // missing on a full disk.
  options.allow_fallocate = false;
  // A write that failed is the end: the buffer is opened anew, and the server
  // sends again what was not confirmed.
  options.max_bgerror_resume_count = 0;
  options.info_log_level = rocksdb::ERROR_LEVEL;
  options.keep_log_file_num = 2;
  options.max_log_file_size = kMegabyte;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;

  rocksdb::BlockBasedTableOptions table;
  table.block_size = std::size_t{16} << 10U;
  table.block_cache = rocksdb::NewLRUCache(16 * kMegabyte);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

Store::Store(const fs::path& folder, FolderLock lock, bool create)
    : path_(folder), lock_(std::move(lock)) {
  rocksdb::DB* db = nullptr;
  check(rocksdb::DB::Open(options_for(create), database_path(folder).string(),
                          &db),
        create ? "create" : "open");
  db_.reset(db);
}

Store::~Store() = default;

void Store::write(rocksdb::WriteBatch& batch) {
  run_on_log([&] { return db_->Write(rocksdb::WriteOptions(), &batch); },
             "write");
}

void Store::sync() {
  run_on_log([this] { return db_->FlushWAL(true); }, "sync");
}

void Store::check_usable() const {
  if (!failed_) return;
  throw StorageError(
      fmt::format("change buffer {}: an earlier write failed; mend the disk "
                  "and run the same command again",
                  path_.string()));
}

std::optional<std::string> Store::find(const std::string& key) const {
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  check(status, "read");
  return value;
}

std::unique_ptr<rocksdb::Iterator> Store::iterate(
    const rocksdb::Slice* upper) const {
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = upper;
  options.fill_cache = false;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options));
}

void Store::check(const rocksdb::Iterator& iterator) const {
  check(iterator.status(), "read");
}

void Store::drop(Generation first, Generation end) {
  const std::string from = generation_prefix(first);
  const std::string to = generation_prefix(end);
  rocksdb::WriteBatch batch;
  check(batch.DeleteRange(from, to), "drop");
  write(batch);
  const rocksdb::Slice from_slice(from);
  const rocksdb::Slice to_slice(to);
  check(rocksdb::DeleteFilesInRange(db_.get(), db_->DefaultColumnFamily(),
                                    &from_slice, &to_slice, false),
        "drop");
  // Every reader looks through the memtable's range tombstones, so they must
  // not pile up over days of short rounds.
  constexpr unsigned kDropsPerFlush = 64;
  if (++drops_ % kDropsPerFlush != 0) return;
  rocksdb::FlushOptions flush;
  flush.wait = false;
  flush.allow_write_stall = true;
  run_on_log([&] { return db_->Flush(flush); }, "flush");
}

std::vector<Generation> Store::generations_from(Generation first) const {
  std::vector<Generation> found;
  const auto records = iterate(nullptr);
  records->Seek(generation_prefix(first));
  while (records->Valid()) {
    const std::string_view key = to_view(records->key());
    const Generation generation = read_u64(key);
    if (read_u32(key.substr(kGenerationBytes)) < kTableCountMax) {
      found.push_back(generation);
    }
    records->Seek(generation_prefix(generation + 1));
  }
  check(*records);
  return found;
}

std::uint64_t Store::bytes_on_disk() const {
  std::uint64_t bytes = 0;
  std::error_code error;
  // Files come and go meanwhile: those that cannot be looked at are gone.
  for (const auto& entry :
       fs::directory_iterator(database_path(path_), error)) {
    const std::uintmax_t size = entry.file_size(error);
    if (!error) bytes += size;
  }
  return bytes;
}

void Store::check(const rocksdb::Status& status, std::string_view what) const {
  if (status.ok()) return;
  throw StorageError(
      fmt::format("change buffer {}: cannot {}: {}{}", path_.string(), what,
                  status.IsCorruption() ? "damaged: " : "", status.ToString()));
}

void destroy_store(const fs::path& folder) {
  const rocksdb::Status status =
      rocksdb::DestroyDB(database_path(folder).string(), options_for(false));
  if (status.ok()) return;
  throw StorageError(fmt::format("change buffer {}: cannot remove it: {}",
                                 folder.string(), status.ToString()));
}

}  // namespace pgrecast::buffer
