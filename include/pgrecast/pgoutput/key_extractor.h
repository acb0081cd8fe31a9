#pragma once

#include "pgrecast/pgoutput/messages.h"
#include "pgrecast/pgoutput/relation_cache.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::pgoutput {

// The values of a key's columns, as text, in the key's order.
using Key = std::span<const std::string_view>;

// The keys that one change dirties: one, or the new and then the old one.
class DirtyKeys {
 public:
  explicit DirtyKeys(Key only) : keys_{only, {}}, count_(1) {}
  DirtyKeys(Key new_key, Key old_key) : keys_{new_key, old_key}, count_(2) {}

  std::size_t size() const { return count_; }
  const Key* begin() const { return keys_.data(); }
  const Key* end() const { return keys_.data() + count_; }

 private:
  std::array<Key, 2> keys_;
  std::size_t count_;
};

// Finds the keys that the changes of one relation dirty:
//
//   Insert   the new key
//   Update   the new key, and the old one where the server sent it and its
//            bytes differ
//   Delete   the old key
//
// Keys are compared as bytes, not as their type compares them: '1.0' and '1.00'
// count as two, although the server may hold them for one. So too many keys may
// come out, never too few.
//
// A key column that is stored out of line is not sent with the new tuple where
// it did not change: its value is then taken from the old one.
//
// Belongs to the thread of the Decoder. Resolves the columns' positions once;
// make another after RelationCache::Put::kChanged. keys_of() allocates nothing.
// What it returns is valid until the next keys_of(), and no longer than the
// change. It throws ProtocolError, naming the column, where a value of the key
// is NULL, not sent, in binary form, or missing; and for a tuple with more
// columns than the relation.
class KeyExtractor {
 public:
  // Throws SourceChanged where the relation, as the server describes it now,
  // lacks a column of the key, or has it outside its replica identity: old keys
  // would not be sent, and changes lost without a word.
  KeyExtractor(const KnownRelation& relation,
               std::span<const std::string> key_columns);

  // The change must be of this relation.
  DirtyKeys keys_of(const Insert& insert);
  DirtyKeys keys_of(const Update& update);
  DirtyKeys keys_of(const Delete& deletion);

  const KnownRelation& relation() const { return relation_; }

 private:
  using Values = std::vector<std::string_view>;

  void check(std::uint32_t relation_oid, const Tuple& tuple) const;
  const TupleColumn& column_of(const Tuple& tuple, std::size_t part,
                               const char* row) const;
  std::string_view value_of(const TupleColumn& column, std::size_t part,
                            const char* row) const;
  void take_key(const Tuple& tuple, const char* row, Values& key) const;
  [[noreturn]] void no_value(std::size_t part, const char* row,
                             const char* problem) const;

  KnownRelation relation_;
  std::vector<std::size_t> positions_;  // in a tuple, by part of the key
  Values new_key_;
  Values old_key_;
};

}  // namespace pgrecast::pgoutput
