#include "fuzz/script_target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// Replays the fuzzer's corpus under every compiler, in every run. Files whose
// names begin with "taken" are scripts, those with "refused" are not; the
// others may hold anything.
namespace pgrecast::script {
namespace {

struct Seed {
  std::string name;
  std::string text;
};

std::vector<Seed> corpus() {
  std::vector<Seed> seeds;
  for (const auto& entry :
       std::filesystem::directory_iterator(PGRECAST_SCRIPT_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    seeds.push_back({.name = entry.path().filename().string(),
                     .text = {std::istreambuf_iterator<char>(file), {}}});
  }
  std::ranges::sort(seeds, {}, &Seed::name);
  return seeds;
}

TEST(ScriptCorpus, IsTakenOrRefusedAsItsNamesSay) {
  std::size_t taken = 0;
  std::size_t refused = 0;
  for (const Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    const bool was_taken = FuzzScript::run(seed.text);

    if (seed.name.starts_with("taken")) {
      EXPECT_TRUE(was_taken);
    } else if (seed.name.starts_with("refused")) {
      EXPECT_FALSE(was_taken);
    }
    ++(was_taken ? taken : refused);
  }
  EXPECT_GE(taken, 7U);
  EXPECT_GE(refused, 5U);
}

TEST(ScriptCorpus, CutAnywhereItIsTakenOrRefused) {
  for (const Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    for (std::size_t size = 0; size < seed.text.size(); ++size) {
      ASSERT_NO_THROW(
          FuzzScript::run(std::string_view(seed.text).substr(0, size)))
          << "cut at " << size;
    }
  }
}

// The characters on which the cutting of slices depends.
TEST(ScriptCorpus, WithAnyByteExchangedItIsTakenOrRefused) {
  for (Seed& seed : corpus()) {
    SCOPED_TRACE(seed.name);
    for (char& byte : seed.text) {
      const char intact = byte;
      for (const char other :
           {'(', ')', '\'', '"', ',', '=', ' ', '.', '\xC3'}) {
        byte = other;
        ASSERT_NO_THROW(FuzzScript::run(seed.text)) << seed.text;
      }
      byte = intact;
    }
  }
}

}  // namespace
}  // namespace pgrecast::script
