#include "fuzz/decoder_target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// Replays the fuzzer's corpus under every compiler, in every run. Its files
// whose names begin with "server" are what a PostgreSQL server sent
// (capture_corpus says how); the others may hold anything.
namespace pgrecast::pgoutput {
namespace {

struct Seed {
  std::string name;
  std::string bytes;
};

std::vector<Seed> corpus() {
  std::vector<Seed> seeds;
  for (const auto& entry :
       std::filesystem::directory_iterator(PGRECAST_DECODER_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    seeds.push_back({.name = entry.path().filename().string(),
                     .bytes = {std::istreambuf_iterator<char>(file), {}}});
  }
  std::ranges::sort(seeds, {}, &Seed::name);
  return seeds;
}

TEST(DecoderCorpus, WhatAServerSentIsUnderstoodToTheLastByte) {
  std::size_t from_servers = 0;
  for (const Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    if (!seed.name.starts_with("server")) continue;

    const FuzzCounts counts = FuzzStream().run(seed.bytes);

    ++from_servers;
    EXPECT_EQ(counts.refused, 0U);
    EXPECT_GT(counts.decoded, 0U);
    // A key in binary form is refused on purpose.
    const bool binary = seed.name.ends_with("_binary");
    EXPECT_EQ(counts.keys > 0, !binary);
    EXPECT_EQ(counts.keys_refused > 0, binary);
  }
  EXPECT_GE(from_servers, 4U);
}

TEST(DecoderCorpus, CutAnywhereItIsDecodedOrRefused) {
  for (const Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    for (std::size_t size = 0; size < seed.bytes.size(); ++size) {
      ASSERT_NO_THROW(
          FuzzStream().run(std::string_view(seed.bytes).substr(0, size)))
          << "cut at " << size;
    }
  }
}

// Within the long values that a server stores out of line, a byte is as good as
// its neighbours: left out, or the test takes half a minute with sanitizers.
bool inside_a_run(std::string_view bytes, std::size_t at) {
  if (at == 0 || at + 1 >= bytes.size()) return false;
  const char byte = bytes[at];
  const bool is_letter = byte >= 'a' && byte <= 'z';
  return is_letter && bytes[at - 1] == byte && bytes[at + 1] == byte;
}

TEST(DecoderCorpus, WithAnyBitFlippedItIsDecodedOrRefused) {
  for (Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < seed.bytes.size() * 8; ++bit) {
      if (inside_a_run(seed.bytes, bit / 8)) continue;
      char& byte = seed.bytes[bit / 8];
      const char intact = byte;
      byte = static_cast<char>(static_cast<unsigned char>(byte) ^
                               (1U << (bit % 8)));
      ASSERT_NO_THROW(refused += FuzzStream().run(seed.bytes).refused)
          << "bit " << bit;
      byte = intact;
    }
    EXPECT_GT(refused, 0U);  // else nothing was put to the test
  }
}

}  // namespace
}  // namespace pgrecast::pgoutput
