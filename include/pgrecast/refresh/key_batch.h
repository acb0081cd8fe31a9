#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/snapshot.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/buffer/sealed_keys.h"
#include "pgrecast/pg/connection.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::refresh {

// Some dirty keys of one table, as the parameters of a statement: one text[]
// a key column.
class KeyBatch {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::vector<pg::Param>& params() const { return params_; }
  // As the buffer orders them, both ends included.
  const std::string& first_key() const { return first_key_; }
  const std::string& last_key() const { return last_key_; }

 private:
  friend KeyBatch take_batch(SealedKeys::Cursor& cursor, const KeyCodec& codec,
                             std::size_t keys_max, const Snapshot* only_seen);

  std::size_t size_ = 0;
  std::vector<pg::Param> params_;
  std::string first_key_;
  std::string last_key_;
};

// Takes at most `keys_max` keys off the cursor; an empty batch at its end.
//
// Every key, whether the round's snapshot sees its last change or not: a key
// changed by T1 (seen) and T2 (not seen) carries T2, and leaving it out would
// leave T1's change out. `only_seen` is that mistake, for the test of it.
KeyBatch take_batch(SealedKeys::Cursor& cursor, const KeyCodec& codec,
                    std::size_t keys_max, const Snapshot* only_seen = nullptr);

// How many keys a batch may have, so that a statement over it takes about half
// a second: rows are of a few bytes, or documents of megabytes.
class BatchSize {
 public:
  static constexpr std::size_t kAtFirst = 200;

  explicit BatchSize(std::size_t keys_max);

  std::size_t keys() const { return keys_; }
  void took(std::size_t keys, milliseconds time);
  // The server was given its two minutes, and had not done it.
  void took_too_long();

 private:
  std::size_t keys_max_;
  std::size_t keys_;
};

}  // namespace pgrecast::refresh
