// One random twin test from the seed in PGRECAST_TWIN_SEED, with accidents:
// pgrecast is killed, and in every third seed the server. tools/soak runs it
// with seed after seed.

#include "scenarios/twin/disturbance.h"
#include "scenarios/twin/twin_scenario.h"

#include <gtest/gtest.h>

#include <optional>

namespace pgrecast::test {
namespace {

TEST(TwinSoak, WhateverHappensTheTableIsWhatItsScriptSays) {
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(1);
  Random random(options.schema.seed + 1);
  options.rows = random.chance(30) ? 3'000 : random.between(50, 500) * 100;
  options.workers = random.between(1, 4);
  options.load.writers = random.between(8, 16);
  options.load.think_time_max = milliseconds(random.below(4));
  options.load.large_transactions = random.below(4);
  options.commits_when_ready = random.chance(50) ? random.below(2'000) : 0;
  options.kills = random.below(8);
  options.server_restarts =
      options.schema.seed % 3 == 0 ? random.between(1, 3) : 0;
  options.cutover_may_fail = true;
  options.load.prepared_transactions = random.chance(30);
  options.load.truncates = random.chance(20);

  // Of its own: it is killed and reconfigured.
  PgCluster cluster(PgCluster::Settings{{"max_prepared_transactions", "50"}});
  Database database(cluster);
  std::optional<StandbyStalls> standby;
  std::optional<DecoderLag> lag;
  if (options.server_restarts == 0) {
    if (random.chance(30)) standby.emplace(cluster, options.schema.seed);
    if (random.chance(30)) {
      lag.emplace(cluster, database.name(), options.schema.seed);
    }
  }
  TwinScenario(database, options).run();
}

}  // namespace
}  // namespace pgrecast::test
