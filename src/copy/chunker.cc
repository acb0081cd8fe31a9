#include "pgrecast/copy/chunker.h"

#include "pgrecast/base/assert.h"

#include <algorithm>

namespace pgrecast::copy {
namespace {

// 2 MB: copied in milliseconds on any machine, so that the first measurement
// comes soon.
constexpr std::int64_t kBlocksAtFirst = 256;
constexpr std::int64_t kBlocksMax = 131072;  // 1 GB
constexpr std::int64_t kBlockBytes = 8192;
// What a row costs a reorder buffer beyond its bytes: 216 bytes were measured
// for rows of 120 (wire.md of the design notes).
constexpr std::int64_t kDecodeBytesPerRow = 100;

}  // namespace

std::vector<BlockRange> ranges_left(std::int64_t block_count,
                                    std::vector<BlockRange> done) {
  std::ranges::sort(done, {}, &BlockRange::first);
  std::vector<BlockRange> left;
  std::int64_t at = 0;
  for (const BlockRange& range : done) {
    PGRECAST_ASSERT(range.first >= at, "first={} at={}", range.first, at);
    if (range.first > at) left.push_back({.first = at, .end = range.first});
    at = range.end;
  }
  if (at < block_count) left.push_back({.first = at, .end = block_count});
  return left;
}

std::vector<BlockRange> split_at_parts(const std::vector<BlockRange>& ranges,
                                       const std::vector<std::int64_t>& parts) {
  std::vector<BlockRange> split;
  for (const BlockRange& range : ranges) {
    std::int64_t first = range.first;
    std::int64_t part_end = 0;
    for (const std::int64_t part : parts) {
      part_end += part;
      if (part_end <= first || part_end >= range.end) continue;
      split.push_back({.first = first, .end = part_end});
      first = part_end;
    }
    split.push_back({.first = first, .end = range.end});
  }
  return split;
}

Chunker::Chunker(std::vector<BlockRange> left, ChunkLimits limits)
    : left_(left.begin(), left.end()),
      limits_(limits),
      blocks_per_chunk_(kBlocksAtFirst) {}

std::optional<BlockRange> Chunker::next() {
  const std::lock_guard lock(mutex_);
  if (left_.empty()) return std::nullopt;
  BlockRange& front = left_.front();
  const BlockRange chunk{
      .first = front.first,
      .end = std::min(front.end, front.first + blocks_per_chunk_)};
  front.first = chunk.end;
  if (front.first == front.end) left_.pop_front();
  return chunk;
}

void Chunker::took(const BlockRange& chunk, std::int64_t rows,
                   milliseconds time) {
  const std::lock_guard lock(mutex_);
  const std::int64_t blocks = chunk.end - chunk.first;
  // Doubling at most, so that one lucky measurement does not overshoot.
  std::int64_t wanted = blocks * 2;
  if (time.count() > 0) {
    wanted =
        std::min(wanted, blocks * limits_.time_target.count() / time.count());
  }
  const std::int64_t decode_bytes =
      blocks * kBlockBytes + rows * kDecodeBytesPerRow;
  wanted = std::min(wanted, blocks * limits_.decode_bytes_max / decode_bytes);
  blocks_per_chunk_ = std::clamp<std::int64_t>(wanted, 1, kBlocksMax);
}

std::int64_t Chunker::blocks_left() const {
  const std::lock_guard lock(mutex_);
  std::int64_t blocks = 0;
  for (const BlockRange& range : left_) blocks += range.end - range.first;
  return blocks;
}

}  // namespace pgrecast::copy
