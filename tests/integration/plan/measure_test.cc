#include "integration/plan/by_hand_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgrecast::plan {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;

class MeasureTest : public ByHand {
 protected:
  MeasuredTime measured(const std::string& setup, const std::string& script) {
    make_tables("src", setup);
    const Plan plan = plan_of(script);
    EXPECT_EQ(plan.measured.size(), 1U) << testing::PrintToString(plan.notes);
    return plan.measured.empty() ? MeasuredTime{} : plan.measured.front();
  }
};

// Four in five rows lie in the first third of the blocks: who looks at the
// beginning alone counts one and a half times as many.
TEST_F(MeasureTest, LooksAllOverTheTable) {
  const MeasuredTime time = measured(
      "CREATE TABLE t (id int PRIMARY KEY, a text);"
      "ALTER TABLE t ALTER a SET STORAGE PLAIN;"
      "INSERT INTO t SELECT g, repeat('x', CASE WHEN g <= 80000 THEN 100 ELSE "
      "900 END) FROM generate_series(1, 100000) AS g",
      "ALTER TABLE t ADD b int");

  EXPECT_THAT(time.rows, AllOf(Ge(80000), Le(120000)));
  EXPECT_THAT(time.sampled_bytes, AllOf(Ge(15 << 20), Le(17 << 20)));
  EXPECT_GT(time.copy_s, 0);
  EXPECT_GT(time.key_index_s, 0);
  EXPECT_GT(time.verify_s, 0);
  EXPECT_EQ(time.indexes_s, 0);
}

TEST_F(MeasureTest, LooksIntoAllPartitions) {
  const MeasuredTime time = measured(
      "CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
      "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (5000);"
      "CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM (5000) TO (100000);"
      "CREATE INDEX ON t (a);"
      "INSERT INTO t SELECT g, repeat('x', CASE WHEN g < 5000 THEN 1500 ELSE "
      "10 END) FROM generate_series(1, 99999) AS g",
      "ALTER TABLE t ADD b int");

  // Nearly every block of it, or fewer on a busy machine.
  EXPECT_THAT(time.rows, AllOf(Ge(80000), Le(120000)));
  EXPECT_GT(time.indexes_s, 0);
  EXPECT_EQ(time.longest_index_s, time.indexes_s);
}

// A tenth of a millisecond a row at least, in the copy and in each comparison.
TEST_F(MeasureTest, TellsWhatTheScriptsExpressionsCost) {
  const MeasuredTime time = measured(
      "CREATE TABLE t (id int PRIMARY KEY, a text);"
      "ALTER TABLE t ALTER a SET STORAGE PLAIN;"
      "INSERT INTO t SELECT g, repeat('x', 900) FROM generate_series(1, 20000) "
      "AS g;"
      "CREATE FUNCTION public.slow(t text) RETURNS text IMMUTABLE LANGUAGE "
      "plpgsql AS 'BEGIN PERFORM pg_sleep(0.0001); RETURN t; END'",
      "UPDATE t SET a = slow(a)");

  EXPECT_GT(time.copy_s, 2);
  EXPECT_GT(time.verify_s, 2);
  EXPECT_LT(time.key_index_s, 2);
}

TEST_F(MeasureTest, LeavesNothingBehind) {
  make_tables("src",
              "CREATE TABLE t (id int PRIMARY KEY, a int);"
              "INSERT INTO t SELECT g, g FROM generate_series(1, 1000) AS g;"
              "CREATE SEQUENCE numbers");

  const Plan plan =
      plan_of("ALTER TABLE t ADD b int DEFAULT nextval('numbers')");

  EXPECT_THAT(plan.measured, IsEmpty());
  EXPECT_THAT(plan.notes,
              Contains(HasSubstr("was not measured: the script draws from a "
                                 "sequence")));
  EXPECT_EQ(session().query_value("SELECT is_called FROM src.numbers"), "f");
  EXPECT_EQ(session().query_value(
                "SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                "'pgrecast%'"),
            "0");
}

// The plan ends well all the same: what took too long was only a measurement.
TEST_F(MeasureTest, SaysThatItTookTooLong) {
  make_tables("src",
              "CREATE TABLE t (id int PRIMARY KEY, a text);"
              "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 20000) AS g;"
              "CREATE FUNCTION public.slow(t text) RETURNS text IMMUTABLE "
              "LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN t; "
              "END'");

  const Plan plan = plan_of("UPDATE t SET a = slow(a)");

  EXPECT_THAT(plan.measured, IsEmpty());
  EXPECT_THAT(plan.notes, Contains(HasSubstr("a sample of the rows takes too "
                                             "long")));
}

}  // namespace
}  // namespace pgrecast::plan
