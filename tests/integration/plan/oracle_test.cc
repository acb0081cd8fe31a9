#include "pgrecast/base/sync_point.h"

#include "by_hand_fixture.h"
#include "support/eventually.h"

namespace pgrecast::plan {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using OracleTest = ByHand;

constexpr const char* kOrders =
    "CREATE TABLE t (id int PRIMARY KEY, a int, s text); INSERT INTO t SELECT "
    "x, x % 10, 's' || x FROM generate_series(1, 500) AS x; CREATE INDEX t_a "
    "ON t (a)";

struct Mistake {
  const char* rule;  // of the folding, left out
  const char* script;
  const char* found;
};

std::ostream& operator<<(std::ostream& out, const Mistake& mistake) {
  return out << mistake.rule;
}

class Folded : public OracleTest, public testing::WithParamInterface<Mistake> {
 protected:
  // The script is taken, and refused as soon as the mistake is made.
  void expect_seen() {
    EXPECT_NO_THROW(plan_of(GetParam().script));

    const RuleOff mistake(GetParam().rule);
    try {
      plan_of(GetParam().script);
      FAIL() << "nobody has seen it";
    } catch (const Refused& refused) {
      EXPECT_THAT(refused.what(),
                  AllOf(HasSubstr("src.t: what pgrecast would make of it"),
                        HasSubstr(GetParam().found)));
      EXPECT_THAT(refused.refusals().front().remedy, HasSubstr("report it"));
    }
  }
};

TEST_P(Folded, WronglyNeverStarts) {
  make_tables("src", kOrders);
  expect_seen();
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, Folded,
    testing::Values(
        Mistake{"fold_where", "UPDATE t SET s = 'seven' WHERE id = 7",
                "row (id) = (1) would have another value in column s"},
        Mistake{"fold_order", "UPDATE t SET a = a + 1; UPDATE t SET a = a * 2",
                "row (id) = (1) would have another value in column a"},
        Mistake{"fold_order", "DELETE FROM t WHERE a = 3; UPDATE t SET a = 3",
                "row (id) = (1) is there by hand, and would be missing"},
        Mistake{"fold_default", "ALTER TABLE t ADD COLUMN d text DEFAULT 'x'",
                "row (id) = (1) would have another value in column d"},
        Mistake{"fold_settings",
                "SET TimeZone = 'Asia/Tokyo'; ALTER TABLE t ADD COLUMN d "
                "timestamptz DEFAULT '1999-01-01 12:00'",
                "column d"},
        Mistake{"fold_index", "ALTER TABLE t ALTER a TYPE bigint",
                "index t_a is missing (was:  USING btree (a))"}));

// The same rows, in leaves of two levels.
constexpr const char* kParts =
    "CREATE TABLE t (id int PRIMARY KEY, a int, s text) PARTITION BY RANGE "
    "(id); CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100); "
    "CREATE TABLE t_2 PARTITION OF t DEFAULT PARTITION BY HASH (id); CREATE "
    "TABLE t_3 PARTITION OF t_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0); "
    "CREATE TABLE t_4 PARTITION OF t_2 FOR VALUES WITH (MODULUS 2, REMAINDER "
    "1); INSERT INTO t SELECT x, x % 10, 's' || x FROM generate_series(1, 500) "
    "AS x; CREATE INDEX t_a ON t (a)";

class FoldedParts : public Folded {};

TEST_P(FoldedParts, WronglyNeverStart) {
  make_tables("src", kParts);
  expect_seen();
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, FoldedParts,
    testing::Values(
        Mistake{"fold_where", "UPDATE t SET s = 'seven' WHERE id = 7",
                "row (id) = (1) would have another value in column s"},
        // Of a row in the last leaf.
        Mistake{"fold_where", "UPDATE t SET s = 'big' WHERE id < 100",
                "row (id) = (100) would have another value in column s"},
        Mistake{"fold_default", "ALTER TABLE t ADD COLUMN d text DEFAULT 'x'",
                "row (id) = (1) would have another value in column d"},
        Mistake{"fold_index", "ALTER TABLE t ALTER a TYPE bigint",
                "index t_a is missing"}));

TEST_F(OracleTest, RowsOfEveryLeafAreNamed) {
  make_tables("src", std::string(kParts) +
                         "; UPDATE t SET s = NULL WHERE id IN (33, 444)");
  try {
    plan_of("ALTER TABLE t ALTER s SET NOT NULL");
    FAIL() << "accepted";
  } catch (const DataRejected& rejected) {
    EXPECT_THAT(rejected.keys(), testing::UnorderedElementsAre("33", "444"));
  }
}

TEST_F(OracleTest, APartitionedTableIsTriedInEveryShape) {
  make_tables("src", kParts);
  for (const char* script :
       {"ALTER TABLE t ALTER a TYPE bigint; UPDATE t SET s = s || a; DELETE "
        "FROM t WHERE id > 450; ALTER TABLE t ADD CHECK (a >= 0)",
        "CREATE TABLE t (s text, id bigint PRIMARY KEY) PARTITION BY HASH "
        "(id); CREATE TABLE t_9 PARTITION OF t FOR VALUES WITH (MODULUS 1, "
        "REMAINDER 0)",
        "CREATE TABLE t (id int PRIMARY KEY, a int)"}) {
    EXPECT_THAT(plan_of(script).native, testing::Not(IsEmpty())) << script;
  }
  EXPECT_EQ(plan_of("ALTER TABLE t ALTER a TYPE bigint").native[0].effect,
            Effect::kRewrites);
  EXPECT_EQ(plan_of("ALTER TABLE t ALTER s SET NOT NULL").native[0].effect,
            Effect::kReadsRows);
}

// The first rows that break it, by their keys, and the place in the script.
TEST_F(OracleTest, RowsThatBreakTheScriptAreNamed) {
  make_tables("src", std::string(kOrders) +
                         "; UPDATE t SET s = NULL WHERE id IN (33, 444)");
  for (const char* script :
       {"UPDATE t SET a = 5; ALTER TABLE t ALTER s SET NOT NULL",
        "ALTER TABLE t ADD CHECK (s IS NOT NULL)",
        "UPDATE t SET a = 1 / length(COALESCE(s, ''))"}) {
    try {
      plan_of(script);
      ADD_FAILURE() << "accepted: " << script;
    } catch (const DataRejected& rejected) {
      EXPECT_THAT(rejected.what(), HasSubstr("test.sql:1:"));
      EXPECT_THAT(rejected.keys(), ElementsAre("33", "444"));
    }
  }
}

TEST_F(OracleTest, ValuesThatBreakAUniqueConstraintAreNamed) {
  make_tables("src", kOrders);
  try {
    plan_of("ALTER TABLE t ADD UNIQUE (a)");
    FAIL() << "accepted";
  } catch (const DataRejected& rejected) {
    EXPECT_THAT(rejected.what(), HasSubstr("t_a_key"));
    EXPECT_THAT(
        rejected.keys(),
        ElementsAre(testing::MatchesRegex("Key \\(a\\)=.*duplicated.")));
  }
}

// By hand it fails at its first statement, whatever comes after.
TEST_F(OracleTest, AScriptThatFailsByHandOnTheWayIsRefused) {
  make_tables("src", std::string(kOrders) +
                         "; UPDATE t SET s = '7'; UPDATE t SET s = 'no number' "
                         "WHERE id = 9");
  const char* const right =
      "DELETE FROM t WHERE id = 9; ALTER TABLE t ALTER s TYPE int USING s::int";
  const char* const wrong =
      "ALTER TABLE t ALTER s TYPE int USING s::int; DELETE FROM t WHERE id = 9";

  EXPECT_NO_THROW(plan_of(right));
  EXPECT_THROW(plan_of(wrong), DataRejected);
}

// Their values differ each time the original runs, so they cannot be compared.
TEST_F(OracleTest, ValuesThatChanceMakesAreNoDifference) {
  make_tables("src", kOrders);
  for (const char* script :
       {"ALTER TABLE t ADD u uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE t ADD n serial, ADD g int GENERATED ALWAYS AS (n * 2) "
        "STORED",
        "ALTER TABLE t ADD at timestamptz DEFAULT statement_timestamp(), ADD b "
        "timestamptz DEFAULT now()",
        "ALTER TABLE t ADD k int GENERATED ALWAYS AS IDENTITY"}) {
    EXPECT_NO_THROW(plan_of(script)) << script;
  }
}

// A row of a hundred thousand that only an index can find in time.
TEST_F(OracleTest, ExtremesOfALargeTableAreFoundByItsIndexes) {
  make_tables("src",
              "CREATE TABLE t (id int PRIMARY KEY, a int, s text); INSERT INTO "
              "t SELECT x, CASE WHEN x = 70001 THEN -1 WHEN x = 50001 THEN "
              "NULL ELSE x END, repeat('s', 100) FROM generate_series(1, "
              "100000) AS x; CREATE INDEX ON t (a); ANALYZE t");
  for (const auto& [script, key] :
       {std::pair{"ALTER TABLE t ADD CHECK (a >= 0)", "70001"},
        std::pair{"ALTER TABLE t ADD CHECK (id < 100000)", "100000"},
        std::pair{"ALTER TABLE t ALTER a SET NOT NULL", "50001"}}) {
    try {
      plan_of(script);
      ADD_FAILURE() << "accepted: " << script;
    } catch (const DataRejected& rejected) {
      EXPECT_THAT(rejected.keys(), ElementsAre(key));
    }
  }
}

TEST_F(OracleTest, ALargeTableIsNeverReadAsAWhole) {
  make_tables(
      "src",
      "CREATE TABLE t (id int PRIMARY KEY, a int, s text); INSERT INTO "
      "t SELECT x, x, repeat('s', 1000) FROM generate_series(1, 200000) "
      "AS x; ANALYZE t");
  const auto rows_read = [&] {
    return std::stoll(session().query_value(
        "SELECT seq_tup_read + COALESCE(idx_tup_fetch, 0) FROM "
        "pg_stat_user_tables WHERE relid = 'src.t'::regclass"));
  };
  ASSERT_EQ(rows_read(), 0);

  plan_of("ALTER TABLE t ALTER a TYPE bigint; UPDATE t SET s = 'x'");
  connection_.reset();  // its statistics arrive when the session ends

  ASSERT_TRUE(test::eventually([&] { return rows_read() > 0; }));
  // The sample's, and three times those of 16 MB.
  EXPECT_LT(rows_read(), 100000);
}

// The shadow hides its rows before it has policies; by hand nothing does.
TEST_F(OracleTest, ATableWithRowSecurityIsTried) {
  make_tables("src", std::string(kOrders) +
                         "; ALTER TABLE t ENABLE ROW LEVEL SECURITY");

  EXPECT_NO_THROW(plan_of("ALTER TABLE t ALTER a TYPE bigint"));
}

TEST_F(OracleTest, NothingIsLeftBehind) {
  make_tables("src", std::string(kOrders) + "; CREATE SEQUENCE src.q");
  const std::string everything =
      "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM "
      "pg_namespace), (SELECT is_called FROM src.q)";
  const test::Rows before = session().query_rows(everything);

  const Plan plan =
      plan_of("ALTER TABLE t ADD n bigint DEFAULT nextval('q'), ADD m serial");

  EXPECT_EQ(session().query_rows(everything), before);
  EXPECT_THAT(plan.warnings,
              testing::Contains(HasSubstr("draws from sequence src.q")));
  EXPECT_FALSE(connection_->in_transaction());
}

TEST_F(OracleTest, ASlowScriptIsTriedOnFewerRows) {
  make_tables("src", kOrders);
  session().exec(
      "CREATE FUNCTION public.slow(i int) RETURNS int IMMUTABLE LANGUAGE "
      "plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN i; END'");

  const Plan plan = plan_of("UPDATE t SET a = slow(a)");

  EXPECT_THAT(plan.warnings, testing::Contains(HasSubstr("slow even on")));
}

}  // namespace
}  // namespace pgrecast::plan
