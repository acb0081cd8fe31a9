#include "pgrecast/refresh/key_batch.h"

#include <algorithm>

namespace pgrecast::refresh {
namespace {

// The text form of an array, built in place: a batch holds tens of thousands.
void append_element(std::string& array, std::string_view element) {
  array += array.size() > 1 ? ",\"" : "\"";
  for (const char c : element) {
    if (c == '"' || c == '\\') array += '\\';
    array += c;
  }
  array += '"';
}

constexpr milliseconds kBatchTarget{500};

}  // namespace

BatchSize::BatchSize(std::size_t keys_max)
    : keys_max_(std::max<std::size_t>(keys_max, 1)),
      keys_(std::min(keys_max_, kAtFirst)) {}

// The last batch, of what was left, tells little of a full one.
void BatchSize::took(std::size_t keys, milliseconds time) {
  if (keys < keys_ && time < kBatchTarget) return;
  const auto share =
      static_cast<double>(kBatchTarget.count()) /
      static_cast<double>(std::max<std::int64_t>(time.count(), 1));
  const double wanted = static_cast<double>(keys) * std::min(share, 2.0);
  keys_ =
      std::clamp(static_cast<std::size_t>(wanted), std::size_t{1}, keys_max_);
}

void BatchSize::took_too_long() {
  keys_ = std::max<std::size_t>(keys_ / 8, 1);
}

KeyBatch take_batch(SealedKeys::Cursor& cursor, const KeyCodec& codec,
                    std::size_t keys_max, const Snapshot* only_seen) {
  KeyBatch batch;
  std::vector<std::string> arrays(codec.column_count(), "{");
  std::vector<std::string> texts;
  for (; cursor.valid() && batch.size_ < keys_max; cursor.next()) {
    if (only_seen != nullptr && !only_seen->sees(cursor.xid())) continue;
    codec.decode(cursor.key(), texts);
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      append_element(arrays[i], texts[i]);
    }
    if (batch.size_ == 0) batch.first_key_ = cursor.key();
    batch.last_key_ = cursor.key();
    ++batch.size_;
  }
  for (std::string& array : arrays) {
    array += '}';
    batch.params_.emplace_back(std::move(array));
  }
  return batch;
}

}  // namespace pgrecast::refresh
