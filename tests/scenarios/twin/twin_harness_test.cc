// The load, the generated scripts and the comparison, without pgrecast: the
// script is run by hand, under a lock. What they find nothing wrong with must
// be right, and what is planted must be found; only then do the twin tests mean
// anything.

#include "scenarios/twin/compare.h"
#include "scenarios/twin/twin_schema.h"
#include "scenarios/twin/workload.h"
#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgrecast::test {
namespace {

using ::testing::HasSubstr;

constexpr int kRows = 2'000;
constexpr int kIds = 2'800;

class TwinHarness : public TestDatabase {
 protected:
  void make(const SchemaOptions& options) {
    Session superuser = superuser_session();
    Session owner = session();
    schema_.emplace(options, ServerOffers::ask(superuser));
    schema_->create(superuser, owner, kRows);
  }

  const TwinSchema& schema() const { return *schema_; }

  static LoadOptions load_options() {
    return {.seed = 7,
            .writers = 8,
            .ids = kIds,
            .long_transactions = false,
            .large_transactions = 1};
  }

  void migrate_by_hand() {
    Session owner = session();
    owner.exec("BEGIN; LOCK TABLE " + schema().table() +
               " IN ACCESS EXCLUSIVE MODE");
    owner.exec(schema().script());
    owner.exec("COMMIT");
  }

  // Under load from before the script until after it.
  LoadStatistics migrate_under_load(const LoadOptions& options) {
    TwinLoad load(dsn(), schema(), options);
    EXPECT_TRUE(load.wait_for_commits(200, Deadline::in(kPatience)));
    migrate_by_hand();
    EXPECT_TRUE(
        load.wait_for_commits_in_new_shape(200, Deadline::in(kPatience)));
    return load.stop();
  }

  Differences differences() {
    Session owner = session();
    return compare_rows(owner, "SELECT * FROM " + schema().new_twin(),
                        "SELECT * FROM " + schema().table());
  }

  // Of a key that is in the table.
  std::string some_row() {
    return fmt::format("ctid = (SELECT min(ctid) FROM {})", schema().table());
  }

 private:
  std::optional<TwinSchema> schema_;
};

// ---- it finds nothing where nothing is wrong
// --------------------------------

class TwinHarnessSeed : public TwinHarness,
                        public ::testing::WithParamInterface<int> {};

TEST_P(TwinHarnessSeed, ScriptByHandLeadsToWhatItsSelectSays) {
  make({.seed = static_cast<std::uint64_t>(GetParam()),
        .key_shape = static_cast<KeyShape>(GetParam() % kKeyShapeCount)});
  SCOPED_TRACE(schema().description() + "\n" + schema().script());

  LoadOptions options = load_options();
  options.long_transactions = GetParam() % 4 == 0;
  const LoadStatistics load = migrate_under_load(options);

  EXPECT_TRUE(load.clean()) << load.text();
  EXPECT_GT(load.unique_violations, 0);
  Session owner = session();
  EXPECT_TRUE(differences().none()) << differences().text();
  EXPECT_EQ(shape_of(owner, schema().table()),
            shape_of(owner, schema().new_twin()));
  EXPECT_EQ(indexes_of(owner, schema().table()), schema().expected_indexes());
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwinHarnessSeed, ::testing::Range(1, 19));

TEST_F(TwinHarness, SeedRepeatsTheSchemaAndTheScript) {
  const ServerOffers offers{.xml = true, .icu = true, .citext = true};

  const TwinSchema one({.seed = 99}, offers);
  const TwinSchema other({.seed = 99}, offers);

  EXPECT_EQ(one.script(), other.script());
  EXPECT_EQ(one.expected_select(), other.expected_select());
  EXPECT_NE(one.script(), TwinSchema({.seed = 98}, offers).script());
}

// ---- it finds what is wrong
// -------------------------------------------------

class TwinHarnessFault : public TwinHarness {
 protected:
  void SetUp() override {
    make({.seed = 3,
          .key_shape = KeyShape::kNumeric,
          .identity = Identity::kPrimaryKey,
          .hostile_names = false});
    const LoadStatistics load = migrate_under_load(load_options());
    ASSERT_TRUE(load.clean()) << load.text();
    ASSERT_TRUE(differences().none()) << differences().text();
  }

  std::string marker() const { return "\"marker\""; }
};

TEST_F(TwinHarnessFault, LostRowIsFound) {
  session().exec(
      fmt::format("DELETE FROM {} WHERE {}", schema().table(), some_row()));

  EXPECT_EQ(differences().missing, 1) << differences().text();
  EXPECT_EQ(differences().surplus, 0) << differences().text();
}

TEST_F(TwinHarnessFault, StaleValueIsFound) {
  session().exec(fmt::format("UPDATE {} SET marker = 'stale' WHERE {}",
                             schema().table(), some_row()));

  EXPECT_EQ(differences().missing, 1) << differences().text();
  EXPECT_EQ(differences().surplus, 1) << differences().text();
  EXPECT_THAT(differences().text(), HasSubstr("stale"));
}

TEST_F(TwinHarnessFault, DuplicateIsFound) {
  Session owner = session();
  owner.exec(
      fmt::format("ALTER TABLE {} DROP CONSTRAINT t_key", schema().table()));
  owner.exec("DROP INDEX IF EXISTS app.t_u");
  owner.exec(fmt::format("INSERT INTO {0} SELECT * FROM {0} WHERE {1}",
                         schema().table(), some_row()));

  EXPECT_EQ(differences().missing, 0) << differences().text();
  EXPECT_EQ(differences().surplus, 1) << differences().text();
}

TEST_F(TwinHarnessFault, OtherFormOfAnEqualKeyIsFound) {
  session().exec(fmt::format("UPDATE {} SET id = id::numeric(30,10) WHERE {}",
                             schema().table(), some_row()));

  EXPECT_EQ(differences().missing, 1) << differences().text();
  EXPECT_EQ(differences().surplus, 1) << differences().text();
}

TEST_F(TwinHarnessFault, OtherTypeIsFound) {
  Session owner = session();
  owner.exec(fmt::format("ALTER TABLE {} ALTER COLUMN marker TYPE varchar",
                         schema().table()));

  EXPECT_NE(shape_of(owner, schema().table()),
            shape_of(owner, schema().new_twin()));
}

// ---- the writers tell
// -------------------------------------------------------

TEST_F(TwinHarness, WriterThatIsADeadlocksVictimIsCounted) {
  make({.seed = 5, .key_shape = KeyShape::kInteger});
  TwinLoad load(dsn(), schema(), load_options());
  Session rival = superuser_session();
  // Longer than the writers': so it is never the one that finds the deadlock.
  rival.exec("SET deadlock_timeout = '1min'");

  const bool found = eventually([&] {
    rival.exec("BEGIN; LOCK TABLE " + schema().twin());
    rival.exec("LOCK TABLE " + schema().table());
    rival.exec("COMMIT");
    return load.statistics().errors.contains("40P01");
  });

  EXPECT_TRUE(found) << load.statistics().text();
  EXPECT_FALSE(load.stop().clean());
}

TEST_F(TwinHarness, StatementThatDoesSomethingElseToTheTwinIsADivergence) {
  make({.seed = 5, .key_shape = KeyShape::kInteger});
  session().exec(
      fmt::format("CREATE RULE deaf AS ON DELETE TO {} DO INSTEAD NOTHING",
                  schema().table()));

  TwinLoad load(dsn(), schema(), load_options());

  EXPECT_TRUE(eventually([&] { return load.statistics().divergences > 0; }));
  EXPECT_FALSE(load.stop().clean());
}

TEST_F(TwinHarness, WritersGoOnWhenTheirSessionsAreEnded) {
  make({.seed = 5, .key_shape = KeyShape::kInteger});
  LoadOptions options = load_options();
  options.server_restarts = true;
  TwinLoad load(dsn(), schema(), options);
  ASSERT_TRUE(load.wait_for_commits(100, Deadline::in(kPatience)));

  superuser_session().exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
      "WHERE usename = $1",
      database().role());

  EXPECT_TRUE(load.wait_for_commits(500, Deadline::in(kPatience)));
  const LoadStatistics statistics = load.stop();
  EXPECT_GE(statistics.connections_lost, 4);
  EXPECT_TRUE(statistics.clean()) << statistics.text();
  Session owner = session();
  const Differences differences =
      compare_rows(owner, "SELECT * FROM " + schema().twin(),
                   "SELECT * FROM " + schema().table());
  EXPECT_TRUE(differences.none()) << differences.text();
}

}  // namespace
}  // namespace pgrecast::test
