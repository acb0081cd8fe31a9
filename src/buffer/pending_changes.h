#pragma once

#include "record.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::buffer {

// What was noted and not yet written: per suffix (table, kind, key) the last
// xid. A hash table of our own, because this is the hot path: one probe, no
// allocation once it has grown, and clear() keeps the memory.
//
// Not thread-safe. Views live until the next change.
class PendingChanges {
 public:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    Xid64 xid;
  };

  // True if the entry was not there. `key_hash` is hash_bytes(key).
  bool note(TableId table, Kind kind, std::string_view key,
            std::uint64_t key_hash, Xid64 xid);

  std::optional<Xid64> find(TableId table, Kind kind, std::string_view key,
                            std::uint64_t key_hash) const;

  bool empty() const { return entries_.empty(); }
  std::size_t bytes() const;
  void clear();

  // In the order of their suffixes: RocksDB takes sorted batches faster.
  std::vector<Entry> sorted() const;
  std::string_view suffix_of(const Entry& entry) const {
    return {arena_.data() + entry.offset, entry.size};
  }

 private:
  // The slot that holds the entry, or the empty one where it belongs.
  std::size_t slot_of(std::uint64_t hash, TableId table, Kind kind,
                      std::string_view key) const;
  bool is(const Entry& entry, TableId table, Kind kind,
          std::string_view key) const;
  void grow();

  std::string arena_;                 // the suffixes, one behind the other
  std::vector<Entry> entries_;        // in the order of their coming
  std::vector<std::uint32_t> slots_;  // index of an entry plus 1; 0: empty
};

}  // namespace pgrecast::buffer
