// What is not in the stream: new files under the source.

#include "scenarios/rules/story.h"

#include <csignal>

namespace pgrecast::test {
namespace {

class RewrittenSource : public TestDatabase {
 protected:
  void SetUp() override {
    owner_.exec("CREATE TABLE t (id int PRIMARY KEY, v int, filler text)");
    // Some 8 MB: several chunks.
    owner_.exec(
        "INSERT INTO t SELECT i, i, repeat('x', 400) FROM "
        "generate_series(1, 18000) i");
    owner_.exec("DELETE FROM t WHERE id % 3 = 0");
  }

  // `statement` gets its turn between two chunks of the copy.
  void expect_right_after_copying_beside(const std::string& statement,
                                         const std::string& then) {
    Migration migration(database(), Held::script());
    Session somebody = session();
    held_.hold();
    Program run = migration.run({"--workers", "1"});
    held_.wait_until_held();
    somebody.send(statement);
    ASSERT_TRUE(eventually([&] {
      return owner_.query_value(
                 "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = "
                 "'AccessExclusiveLock' AND relation = 't'::regclass") == "1";
    }));
    held_.release();
    somebody.wait();
    somebody.exec(then);
    EXPECT_EQ(run.wait(), 0) << run.output();
    EXPECT_NE(run.output().find("copying the table again"), std::string::npos);
    expect_equal();
  }

  void expect_right_after(const std::string& statement,
                          const std::string& then) {
    Migration migration(database(), Held::script());
    Program run = migration.run({"--cutover", "manual"});
    run.wait_for_output("phase=ready");
    owner_.exec(statement);
    owner_.exec(then);
    run.wait_for_output("rewritten by somebody");
    EXPECT_EQ(migration.command("cutover"), 0);
    EXPECT_EQ(run.wait(), 0) << run.output();
    expect_equal();
  }

  // Nobody looks while it happens, and it is nowhere in the stream.
  void expect_verified_when_run_again() {
    Migration migration(database(), Held::script());
    {
      Program run = migration.run({"--cutover", "manual"});
      run.wait_for_output("phase=ready");
      run.signal(SIGKILL);
      run.wait();
    }
    owner_.exec("ALTER TABLE t ALTER COLUMN v TYPE int USING v + 1000000");

    Program again = migration.run({});

    EXPECT_EQ(again.wait(), 0) << again.output();
    EXPECT_NE(again.output().find("rewritten by somebody"), std::string::npos);
    expect_equal();
  }

  // Somebody writes into the shadow: that is found, and the process that found
  // it dies before it could mend it.
  void expect_verified_after_a_difference() {
    Migration migration(database(), Held::script());
    {
      Program run = migration.run({"--cutover", "manual"});
      run.wait_for_output("phase=ready");
      run.signal(SIGTERM);
      run.wait();
    }
    owner_.exec("UPDATE pgrecast_story.t SET v = -1 WHERE id = 1");
    superuser_session().exec("UPDATE pgrecast.migrations SET verified = false");

    Program again = migration.run({});

    EXPECT_EQ(again.wait(), 0) << again.output();
    expect_equal();
  }

  void expect_equal() {
    EXPECT_EQ(
        differing_rows(
            owner_, "SELECT id, v::bigint, filler FROM " + Migration::retired(),
            "TABLE t"),
        0);
  }

 private:
  Session owner_ = session();
  Held held_{owner_};
};

constexpr const char* kVacuum = "VACUUM FULL t";
constexpr const char* kTruncate = "TRUNCATE t";
constexpr const char* kChanges =
    "UPDATE t SET v = -v WHERE id < 100; DELETE FROM t WHERE id = 200";
constexpr const char* kNewRows =
    "INSERT INTO t SELECT i, -i, '' FROM generate_series(10, 20) i;"
    "UPDATE t SET v = 0 WHERE id = 15";

TEST_F(RewrittenSource, IsCopiedAgainAfterVacuumFull) {
  expect_right_after_copying_beside(kVacuum, kChanges);
}

TEST_F(RewrittenSource, IsCopiedAgainAfterTruncate) {
  expect_right_after_copying_beside(kTruncate, kNewRows);
}

TEST_F(RewrittenSource, IsVerifiedAgainAfterVacuumFull) {
  expect_right_after(kVacuum, kChanges);
}

TEST_F(RewrittenSource, IsVerifiedAgainAfterTruncate) {
  expect_right_after(kTruncate, kNewRows);
}

// It was ready, and what it had verified is void: it was exchanged unseen.
TEST_F(RewrittenSource, IsVerifiedAgainWhereItHappenedBetweenTwoRuns) {
  expect_verified_when_run_again();
}

TEST_F(RewrittenSource, IsNotExchangedAfterAPassThatFoundADifference) {
  expect_verified_after_a_difference();
}

}  // namespace
}  // namespace pgrecast::test
