// One twin test for every version of the server.

#include "scenarios/twin/twin_scenario.h"

#include <gtest/gtest.h>

namespace pgrecast::test {
namespace {

using TwinVersions = TestDatabase;

TEST_F(TwinVersions, TableUnderLoadIsWhatItsScriptSays) {
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(11);
  options.schema.key_shape = KeyShape::kIntegerAndText;
  options.schema.hostile_names = true;
  options.load.large_transactions = 1;

  TwinScenario(database(), options).run();
}

}  // namespace
}  // namespace pgrecast::test
