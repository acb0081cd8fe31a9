#pragma once

#include "pgrecast/base/xid.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace pgrecast {

// A table of the migration, by its ordinal (from 0).
using TableId = std::uint32_t;

// Everything that was in the change buffer when it was sealed: what a round
// works on. It does not change, whatever the receiver notes meanwhile.
//
// Made by ChangeBuffer::seal() and given back to ChangeBuffer::forget(). It may
// outlive neither the buffer nor a later forget(): what it shows is gone then.
// Const members may run on several threads at once. All of them read the disk
// and throw StorageError.
class SealedKeys {
 public:
  // The dirty keys of one table in the order of their bytes, each once. Belongs
  // to one thread at a time; holds files open: do not keep it for long.
  class Cursor {
   public:
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    Cursor(Cursor&&) noexcept;
    Cursor& operator=(Cursor&&) noexcept;
    ~Cursor();

    bool valid() const;
    // Both only while valid(); key() lives until the next call of next().
    std::string_view key() const;
    // The last transaction that changed the key; where none did, the one that
    // note_dirty() was told.
    Xid64 xid() const;
    void next();

   private:
    friend class SealedKeys;
    struct Impl;
    explicit Cursor(std::unique_ptr<Impl> impl);

    std::unique_ptr<Impl> impl_;
  };

  SealedKeys(const SealedKeys&) = delete;
  SealedKeys& operator=(const SealedKeys&) = delete;
  SealedKeys(SealedKeys&&) noexcept;
  SealedKeys& operator=(SealedKeys&&) noexcept;
  ~SealedKeys();

  // Neither a key nor a truncate mark of any table.
  bool empty() const;

  // The tables with a key or a truncate mark, ascending.
  std::vector<TableId> tables() const;

  // The keys of `table` that are not below `from`. To go on behind a key, give
  // that key with a byte 0 appended.
  Cursor keys(TableId table, std::string_view from = {}) const;

  // How many keys keys(table) gives: exact. The first call for a table reads
  // them all (some millions a second).
  std::uint64_t count(TableId table) const;

  // The last transaction that truncated the table, if one did.
  std::optional<Xid64> truncated(TableId table) const;

 private:
  friend class ChangeBuffer;
  struct Impl;
  explicit SealedKeys(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace pgrecast
