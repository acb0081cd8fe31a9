#pragma once

#include "pgrecast/base/deadline.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

namespace pgrecast::copy {

// Blocks [first, end) of a table's main fork.
struct BlockRange {
  std::int64_t first = 0;
  std::int64_t end = 0;

  bool operator==(const BlockRange&) const = default;
};

// What is left of [0, block_count) without `done`, ascending. The ranges in
// `done` do not overlap (asserted).
std::vector<BlockRange> ranges_left(std::int64_t block_count,
                                    std::vector<BlockRange> done);

// The same ranges, none of them across the end of one of the parts, of so many
// blocks each, of which the whole consists.
std::vector<BlockRange> split_at_parts(const std::vector<BlockRange>& ranges,
                                       const std::vector<std::int64_t>& parts);

struct ChunkLimits {
  // A chunk's transaction holds a snapshot and a lock for about this long.
  milliseconds time_target{500};
  // What one chunk may put into the reorder buffer of a WAL sender, so that
  // none spills our writes to disk.
  std::int64_t decode_bytes_max = 0;
};

// Hands out one table's chunks, and finds how large they may be. Thread-safe.
//
// A chunk counts as copied only where its row in the state table says so; here
// it is merely given out once.
class Chunker {
 public:
  Chunker(std::vector<BlockRange> left, ChunkLimits limits);

  // nullopt when every block is given out.
  std::optional<BlockRange> next();

  // What a chunk took: the next ones are sized by it.
  void took(const BlockRange& chunk, std::int64_t rows, milliseconds time);

  std::int64_t blocks_left() const;

 private:
  mutable std::mutex mutex_;
  std::deque<BlockRange> left_;
  ChunkLimits limits_;
  std::int64_t blocks_per_chunk_;
};

}  // namespace pgrecast::copy
