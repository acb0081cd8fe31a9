// Tables, scripts and loads from seeds: the same in every run, so that a change
// that breaks one is known by it. tools/soak tries new ones.

#include "scenarios/twin/twin_scenario.h"

#include <gtest/gtest.h>

namespace pgrecast::test {
namespace {

class TwinSeed : public TestDatabase,
                 public ::testing::WithParamInterface<int> {};

TEST_P(TwinSeed, RandomTableUnderLoadIsWhatItsScriptSays) {
  TwinScenarioOptions options;
  options.schema.seed = static_cast<std::uint64_t>(GetParam());
  // Each kind of key and identity comes up, whatever the seeds.
  options.schema.key_shape = static_cast<KeyShape>(GetParam() % kKeyShapeCount);
  options.schema.identity = static_cast<Identity>(GetParam() % 3);
  options.schema.hostile_names = GetParam() % 2 == 1;
  options.load.large_transactions = 1;

  TwinScenario(database(), options).run();
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwinSeed,
                         ::testing::Values(101, 102, 103, 105, 106, 107, 113));

}  // namespace
}  // namespace pgrecast::test
