// The end-to-end proof: see TwinScenario.

#include "scenarios/twin/disturbance.h"
#include "scenarios/twin/twin_scenario.h"

#include <gtest/gtest.h>

namespace pgrecast::test {
namespace {

class Twin : public TestDatabase {
 protected:
  void run(const TwinScenarioOptions& options) {
    TwinScenario(database(), options).run();
  }

  // Few rows and many writers: unique values go from row to row, and every row
  // is dirty nearly always.
  static TwinScenarioOptions hot(std::uint64_t seed) {
    TwinScenarioOptions options;
    options.schema.seed = twin_seed(seed);
    options.schema.identity = Identity::kPrimaryKey;
    options.rows = 3'000;
    return options;
  }
};

TEST_F(Twin, LargeTableUnderLoadIsWhatTheScriptSays) {
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(1);
  options.schema.key_shape = KeyShape::kInteger;
  options.schema.identity = Identity::kPrimaryKey;
  options.rows = 200'000;
  options.load.large_transactions = 1;  // of 100,000 rows
  options.load.think_time_max = milliseconds(8);

  run(options);
}

TEST_F(Twin, HotTableIsWhatTheScriptSaysAfterManyRounds) {
  TwinScenarioOptions options = hot(2);
  options.load.large_transactions = 3;
  options.commits_when_ready = 4'000;

  run(options);
}

// More keys are dirty than one transaction may hold: the rounds are many short
// ones then, while the writers write.
TEST_F(Twin, LargeTransactionsWhileReadyLoseNothing) {
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(6);
  options.schema.identity = Identity::kPrimaryKey;
  options.rows = 140'000;
  options.load.large_transactions = 2;
  options.load.large_when_told = true;
  options.large_when_ready = true;
  options.commits_when_ready = 200;
  options.cutover_may_fail = true;

  run(options);
}

TEST_F(Twin, StalledSynchronousStandbyLosesNothing) {
  TwinScenarioOptions options = hot(3);
  options.commits_when_ready = 200;
  options.cutover_may_fail = true;
  // Writers that wait for the standby commit seldom; so there are more.
  options.load.writers = 16;
  options.load.long_transactions = false;
  const StandbyStalls standby(cluster(), options.schema.seed);

  run(options);

  EXPECT_GT(standby.stalls(), 5);
}

TEST_F(Twin, LaggingDecoderLosesNothing) {
  TwinScenarioOptions options = hot(4);
  options.commits_when_ready = 2'000;
  options.cutover_may_fail = true;
  const DecoderLag lag(cluster(), database().name(), options.schema.seed);

  run(options);

  EXPECT_GT(lag.stops(), 20);
}

TEST_F(Twin, KilledAndRunAgainLosesNothing) {
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(5);
  options.rows = 30'000;
  options.load.large_transactions = 2;
  options.kills = 6;

  run(options);
}

// A server of its own: one that is killed, or allows prepared transactions.
void run_on(PgCluster& server, const TwinScenarioOptions& options) {
  Database database(server);
  TwinScenario(database, options).run();
}

TEST(TwinOnItsOwnServer, TruncatesAndPreparedTransactionsLoseNothing) {
  PgCluster server(PgCluster::Settings{{"max_prepared_transactions", "30"}});
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(7);
  options.schema.identity = Identity::kPrimaryKey;
  options.rows = 60'000;
  options.load.prepared_transactions = true;
  options.load.truncates = true;
  options.commits_when_ready = 1'000;
  options.cutover_may_fail = true;

  run_on(server, options);
}

TEST(TwinOnItsOwnServer, RestartedWithPreparedTransactionsItLosesNothing) {
  PgCluster server(PgCluster::Settings{{"max_prepared_transactions", "30"}});
  TwinScenarioOptions options;
  options.schema.seed = twin_seed(8);
  options.rows = 30'000;
  options.load.large_transactions = 1;
  options.load.prepared_transactions = true;
  options.kills = 1;
  options.server_restarts = 3;
  options.cutover_may_fail = true;

  run_on(server, options);
}

}  // namespace
}  // namespace pgrecast::test
