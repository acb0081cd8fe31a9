#include "pgrecast/copy/chunker.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

namespace pgrecast::copy {
namespace {

constexpr std::int64_t kMegabyte = 1 << 20;

// Ranges without overlap in any order: what a crash leaves of the chunks.
std::vector<BlockRange> some_done(std::int64_t block_count) {
  std::vector<BlockRange> done;
  std::int64_t at = 0;
  while (at < block_count) {
    const auto length = *rc::gen::inRange<std::int64_t>(1, 40);
    const std::int64_t end = std::min(at + length, block_count);
    if (*rc::gen::arbitrary<bool>()) done.push_back({.first = at, .end = end});
    at = end;
  }
  if (done.size() > 1) std::swap(done.front(), done.back());
  return done;
}

void take(std::set<std::int64_t>& blocks, const BlockRange& range) {
  for (std::int64_t block = range.first; block < range.end; ++block) {
    RC_ASSERT(blocks.insert(block).second);
  }
}

RC_GTEST_PROP(ChunkerProperty, DoneAndLeftAreEachBlockOnce, ()) {
  const auto block_count = *rc::gen::inRange<std::int64_t>(0, 500);
  const std::vector<BlockRange> done = some_done(block_count);

  std::set<std::int64_t> blocks;
  for (const BlockRange& range : done) take(blocks, range);
  std::int64_t last = -1;
  for (const BlockRange& range : ranges_left(block_count, done)) {
    RC_ASSERT(range.first > last);
    RC_ASSERT(range.end > range.first);
    last = range.end;
    take(blocks, range);
  }

  RC_ASSERT(std::int64_t(blocks.size()) == block_count);
}

RC_GTEST_PROP(ChunkerProperty, ChunksAreEachBlockOnceAndStayWithinTheirLimits,
              ()) {
  const auto block_count = *rc::gen::inRange<std::int64_t>(0, 100000);
  const std::vector<BlockRange> left = {
      {.first = 0, .end = block_count / 3},
      {.first = block_count / 2, .end = block_count}};
  const auto bytes_max = *rc::gen::inRange<std::int64_t>(1, 64) * kMegabyte;
  const auto rows_per_block = *rc::gen::inRange<std::int64_t>(0, 300);
  const auto ms_per_chunk = *rc::gen::inRange(0, 3000);
  std::vector<BlockRange> some;
  std::int64_t expected = 0;
  for (const BlockRange& range : left) {
    if (range.end == range.first) continue;
    some.push_back(range);
    expected += range.end - range.first;
  }
  Chunker chunker(some, {.decode_bytes_max = bytes_max});

  std::int64_t sum = 0;
  std::int64_t at = -1;
  bool measured = false;
  while (const auto chunk = chunker.next()) {
    const std::int64_t blocks = chunk->end - chunk->first;
    RC_ASSERT(blocks > 0);
    RC_ASSERT(chunk->first >= at);
    at = chunk->end;
    sum += blocks;
    RC_ASSERT(chunker.blocks_left() == expected - sum);
    // What a chunk puts into a reorder buffer, once the first was measured;
    // a block is the least there is.
    if (measured && blocks > 1) {
      RC_ASSERT(blocks * (8192 + rows_per_block * 100) <= bytes_max);
    }
    chunker.took(*chunk, blocks * rows_per_block, milliseconds(ms_per_chunk));
    measured = true;
  }

  RC_ASSERT(sum == expected);
}

// A chunk belongs to one leaf, also where leaves are empty.
RC_GTEST_PROP(ChunkerProperty, PartsAreNeverCrossedAndNothingIsLost, ()) {
  const auto parts = *rc::gen::container<std::vector<std::int64_t>>(
      rc::gen::inRange<std::int64_t>(0, 60));
  std::int64_t block_count = 0;
  std::set<std::int64_t> ends;
  for (const std::int64_t part : parts) ends.insert(block_count += part);
  const auto left = ranges_left(block_count, some_done(block_count));

  std::set<std::int64_t> whole;
  for (const BlockRange& range : left) take(whole, range);
  std::set<std::int64_t> split;
  for (const BlockRange& range : split_at_parts(left, parts)) {
    RC_ASSERT(range.first < range.end);
    RC_ASSERT(*ends.upper_bound(range.first) >= range.end);
    take(split, range);
  }
  RC_ASSERT(split == whole);
}

TEST(Chunker, HasNothingForAnEmptyTable) {
  Chunker chunker(ranges_left(0, {}), {.decode_bytes_max = kMegabyte});

  EXPECT_FALSE(chunker.next().has_value());
  EXPECT_EQ(chunker.blocks_left(), 0);
}

TEST(Chunker, TakesNoNoticeOfBlocksCopiedBeyondTheEnd) {
  // A table that was vacuumed shorter, then resumed.
  EXPECT_TRUE(ranges_left(10, {{.first = 0, .end = 20}}).empty());
}

TEST(Chunker, GrowsWhileChunksAreFastAndShrinksWhenTheyAreSlow) {
  Chunker chunker({{.first = 0, .end = 1'000'000}},
                  {.decode_bytes_max = 1024 * kMegabyte});
  const auto next_size = [&](milliseconds time) {
    const BlockRange chunk = chunker.next().value();
    chunker.took(chunk, 1000, time);
    return chunk.end - chunk.first;
  };

  const std::int64_t first = next_size(milliseconds(10));
  const std::int64_t second = next_size(milliseconds(10));
  const std::int64_t third = next_size(milliseconds(5000));
  const std::int64_t fourth = next_size(milliseconds(500));

  EXPECT_EQ(second, first * 2) << "doubles at most";
  EXPECT_EQ(third, second * 2);
  EXPECT_EQ(fourth, third / 10) << "as long as the target";
}

}  // namespace
}  // namespace pgrecast::copy
