// Materialized views go along: filled from the new table before the exchange,
// never with older rows than they had, whatever is refreshed meanwhile.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"
#include "support/eventually.h"
#include "support/schema_dump.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

namespace pgrecast::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kCutoverNotAchieved = 5;
constexpr const char* kScript = "ALTER TABLE t ALTER v TYPE bigint";

bool is_frozen(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number;
  std::string name;
  std::string state;
  stat >> number >> name >> state;
  return state == "T";
}

class MaterializedViewsTest : public Operation {
 protected:
  void SetUp() override {
    session().exec(R"sql(
CREATE TABLE t (id int PRIMARY KEY, v int, w text);
INSERT INTO t SELECT g, g, repeat('x', 300) FROM generate_series(1, 3000) g;
CREATE VIEW between AS SELECT id, v FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM between;
CREATE UNIQUE INDEX mv_id ON mv (id);
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n, sum(v) AS v FROM mv;
CREATE VIEW above AS SELECT id, v FROM mv)sql");
  }

  // Until its process stands still at that point.
  Program frozen_at(const std::string& point, const Texts& options = {}) {
    Program run =
        start("mv", kScript, options, {"PGRECAST_FREEZE_AT=" + point});
    EXPECT_TRUE(eventually([&] { return is_frozen(run.pid()); },
                           Deadline::in(std::chrono::minutes(1))))
        << run.output();
    return run;
  }

  std::string value(const std::string& sql) {
    return session().query_value(sql);
  }
};

// Readers and writers see nothing of it. By pg_dump only the types are others.
TEST_F(MaterializedViewsTest, GoAlongWhileEverybodyReadsAndWrites) {
  const auto before = schema_dump(dsn());
  Writers writers(dsn());
  std::atomic<int> next{10000};
  writers.add(3, [&](Session& session, std::mt19937&) {
    session.exec(fmt::format("INSERT INTO t VALUES ({0}, {0}, 'n')", next++));
    session.exec(
        "SELECT sum(v) FROM mv; SELECT max(id) FROM above; TABLE sums");
  });
  ASSERT_TRUE(writers.go_on(50));

  migrate("mv", kScript);

  EXPECT_TRUE(writers.go_on(100));
  writers.stop();
  EXPECT_THAT(writers.refused(), IsEmpty());
  command("finish", "mv");
  if (!before.empty()) {
    EXPECT_THAT(dump_difference(before, schema_dump(dsn())),
                ElementsAre("- v integer", "+ v bigint"));
  }
  EXPECT_EQ(value("SELECT count(*) >= 3050 AND max(id) > 10000 FROM mv"), "t");
  EXPECT_EQ(value("SELECT n FROM sums"), value("SELECT count(*) FROM mv"));
  session().exec(
      "UPDATE t SET v = 3000000000 WHERE id = 1; "
      "REFRESH MATERIALIZED VIEW CONCURRENTLY mv");
  EXPECT_EQ(value("SELECT v FROM above WHERE id = 1"), "3000000000");
  EXPECT_EQ(value("SELECT count(*) FROM mv"), value("SELECT count(*) FROM t"));
}

TEST_F(MaterializedViewsTest, ThePlanSaysWhatBecomesOfThem) {
  session().exec("CREATE MATERIALIZED VIEW never AS TABLE t WITH NO DATA");
  std::string said;

  EXPECT_EQ(plan("mv", kScript, &said), 0);

  std::erase(said, '\n');
  EXPECT_NE(said.find("materialized view public.mv is filled"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find("materialized view public.never"), std::string::npos)
      << said;
  EXPECT_EQ(value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                  "'pgrecast%'"),
            "0");
}

class RefreshedTest : public MaterializedViewsTest,
                      public ::testing::WithParamInterface<const char*> {};

// Without a look at the original, it would go back to what the twin was filled
// with: the row was not there yet.
TEST_P(RefreshedTest, ARefreshBehindTheFillingIsNotLost) {
  Program run = frozen_at("twins:filled");
  session().exec(fmt::format(
      "INSERT INTO t VALUES (5000, 1, 'new'); REFRESH MATERIALIZED VIEW {} mv",
      GetParam()));

  run.signal(SIGCONT);

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(value("SELECT v FROM above WHERE id = 5000"), "1");
}

// One that waits for the exchange is done on the new one.
TEST_P(RefreshedTest, ARefreshThatWaitsForTheExchangeEndsWell) {
  Program run = frozen_at("exchange:after_lock", {"--cutover-budget", "20000"});
  Session app = session();
  app.send(fmt::format("REFRESH MATERIALIZED VIEW {} mv", GetParam()));
  EXPECT_TRUE(eventually([&] {
    return superuser_session().query_value(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $1",
               app.backend_pid()) == "1";
  }));

  run.signal(SIGCONT);

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_NO_THROW(app.wait());
  EXPECT_EQ(value("SELECT count(*) FROM mv"), "3000");
  EXPECT_EQ(value("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE "
                  "attrelid = 'mv'::regclass AND attname = 'v'"),
            "bigint");
}

INSTANTIATE_TEST_SUITE_P(Kinds, RefreshedTest,
                         ::testing::Values("", "CONCURRENTLY"),
                         [](const auto& kind) {
                           return *kind.param == '\0' ? "Plainly"
                                                      : "Concurrently";
                         });

// Nor one that ends between an attempt's first look and its locks. (A plain one
// would wait: it locks out whoever has read the definition.)
TEST_F(MaterializedViewsTest, ARefreshWithinAnAttemptIsNotLost) {
  Program run = frozen_at("exchange:definitions_read");
  session().exec(
      "INSERT INTO t VALUES (5000, 1, 'new'); "
      "REFRESH MATERIALIZED VIEW CONCURRENTLY mv");

  run.signal(SIGCONT);

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(value("SELECT v FROM above WHERE id = 5000"), "1");
}

// Whoever refreshes every few seconds does not keep the exchange from
// happening, and nobody ever sees an older row.
TEST_F(MaterializedViewsTest, GoAlongWhileSomebodyRefreshesAgainAndAgain) {
  Writers writers(dsn());
  std::atomic<int> refreshed{0};
  writers.add(1, [&, id = 10000, last = Clock::now()](Session& session,
                                                      std::mt19937&) mutable {
    session.exec(fmt::format("INSERT INTO t VALUES ({0}, {0}, 'n')", ++id));
    if (Clock::now() - last < std::chrono::seconds(3)) return;
    last = Clock::now();
    session.exec(++refreshed % 2 == 0
                     ? "REFRESH MATERIALIZED VIEW mv"
                     : "REFRESH MATERIALIZED VIEW CONCURRENTLY mv");
    const std::string seen = session.query_value("SELECT max(id) FROM above");
    if (std::stoi(seen) < id) throw SqlFailure("older", seen);
  });
  writers.add(1, [most = 0](Session& session, std::mt19937&) mutable {
    const int seen =
        std::stoi(session.query_value("SELECT max(id) FROM above"));
    if (seen < most) throw SqlFailure("older", std::to_string(seen));
    most = seen;
  });
  ASSERT_TRUE(eventually([&] { return refreshed > 0; }));

  migrate("mv", kScript, {"--cutover-attempts", "100"});

  EXPECT_TRUE(writers.go_on(100));
  writers.stop();
  EXPECT_THAT(writers.refused(), IsEmpty());
}

TEST_F(MaterializedViewsTest, AreLeftEmptyWhereTheyAre) {
  session().exec("REFRESH MATERIALIZED VIEW sums WITH NO DATA");

  migrate("mv", kScript);

  EXPECT_EQ(session().try_exec("TABLE sums"), "55000");
  session().exec("REFRESH MATERIALIZED VIEW sums");
  EXPECT_EQ(value("SELECT n FROM sums"), "3000");
}

TEST_F(MaterializedViewsTest, AKilledRunLeavesTheLiveOnesAloneAndGoesOn) {
  for (const char* point : {"twins:made", "twins:before_fill",
                            "twins:before_commit", "twins:filled"}) {
    Program killed =
        start("mv", kScript, {}, {std::string("PGRECAST_STOP_AT=") + point});
    EXPECT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();
    EXPECT_EQ(value("SELECT n FROM sums"), "3000");
  }
  // One that is not there any more when it goes on.
  session().exec("DROP MATERIALIZED VIEW sums");

  migrate("mv", kScript);

  command("finish", "mv");
  EXPECT_EQ(value("SELECT count(*) FROM mv"), "3000");
  EXPECT_EQ(value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                  "'pgrecast%'"),
            "0");
}

TEST_F(MaterializedViewsTest, AnAbortRemovesTheTwins) {
  const auto before = schema_dump(dsn());
  Program killed = start("mv", kScript, {}, {"PGRECAST_STOP_AT=twins:filled"});
  EXPECT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();

  command("abort", "mv");

  EXPECT_THAT(dump_difference(before, schema_dump(dsn())), IsEmpty());
  EXPECT_EQ(value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                  "'pgrecast%'"),
            "0");
}

// What a policy of another table hides from its owner, as at a REFRESH.
TEST_F(MaterializedViewsTest, PoliciesOfOtherTablesHoldWhereItIsFilled) {
  superuser_session().exec(
      "CREATE TABLE public.theirs (id int); INSERT INTO theirs SELECT "
      "generate_series(1, 100); ALTER TABLE theirs ENABLE ROW LEVEL SECURITY; "
      "CREATE POLICY few ON theirs USING (id <= 7); GRANT SELECT ON theirs TO "
      "PUBLIC");
  session().exec(
      "CREATE MATERIALIZED VIEW joined AS SELECT v FROM t JOIN theirs USING "
      "(id)");

  migrate("mv", kScript);

  EXPECT_EQ(value("SELECT count(*) FROM joined"), "7");
}

// Its REFRESH would fail, too, with the rows that there are now.
TEST_F(MaterializedViewsTest, OneThatCannotBeFilledStopsTheExchangeByName) {
  session().exec(
      "CREATE MATERIALIZED VIEW parts AS SELECT 1 / (v - 7000) AS p FROM t; "
      "UPDATE t SET v = 7000 WHERE id = 9");
  Program run = start("mv", kScript);
  EXPECT_EQ(run.wait(), kCutoverNotAchieved) << run.output();
  EXPECT_NE(run.err().find("materialized view public.parts cannot be filled"),
            std::string::npos)
      << run.err();
  session().exec("UPDATE t SET v = 9 WHERE id = 9");

  migrate("mv", kScript);

  EXPECT_EQ(value("SELECT count(*) FROM parts"), "3000");
}

}  // namespace
}  // namespace pgrecast::test
