#include "by_hand_fixture.h"

#include <array>
#include <cstddef>
#include <ostream>
#include <string_view>

namespace pgrecast::plan {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr const char* kTable =
    "CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u SELECT x FROM "
    "generate_series(1, 50) AS x; CREATE TABLE t (id int PRIMARY KEY, i int, n "
    "numeric(8,2), v varchar(10) "
    "NOT NULL, s text, ts timestamp, m int CHECK (m IS NOT NULL), CONSTRAINT "
    "small CHECK (i < 1000)); ALTER TABLE t ADD CONSTRAINT late CHECK (i < "
    "500) NOT VALID; INSERT INTO t SELECT x, x, x, x, x, '2024-05-06', x FROM "
    "generate_series(1, 50) AS x; CREATE INDEX t_v ON t (v); CREATE INDEX t_ts "
    "ON t (ts)";
// An index alone names no table of the script's.
constexpr const char* kNamed = "COMMENT ON TABLE t IS 'named'; ";

struct Case {
  const char* script;
  Effect effect;
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.script;
}

using Native = ByHand;

class NativeEffect : public Native,
                     public testing::WithParamInterface<std::vector<Case>> {};

// The server decides: a time zone is all that differs between some of these.
TEST_P(NativeEffect, IsWhatTheServerDoes) {
  make_tables("src", kTable);
  std::string script = kNamed;
  for (const Case& one : GetParam()) script += std::string(one.script) + ";\n";
  const Plan plan = plan_of(script);
  ASSERT_EQ(plan.native.size(), GetParam().size() + 1);
  for (std::size_t i = 0; i < GetParam().size(); ++i) {
    EXPECT_EQ(in_words(plan.native[i + 1].effect),
              in_words(GetParam()[i].effect))
        << GetParam()[i].script;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scripts, NativeEffect,
    testing::Values(
        std::vector<Case>{
            Case{"ALTER TABLE t ALTER v TYPE varchar(20)", Effect::kCatalogs},
            Case{"ALTER TABLE t ALTER v TYPE text", Effect::kCatalogs},
            Case{"ALTER TABLE t ALTER v TYPE varchar(9)", Effect::kRewrites},
            Case{"ALTER TABLE t ALTER v TYPE text COLLATE \"C\"",
                 Effect::kBuildsIndexes},
            Case{"ALTER TABLE t ALTER n TYPE numeric(10,2)", Effect::kCatalogs},
            Case{"ALTER TABLE t ALTER n TYPE numeric(10,3)", Effect::kRewrites},
            Case{"ALTER TABLE t ALTER i TYPE bigint", Effect::kRewrites},
            Case{"ALTER TABLE t ALTER i TYPE int USING i + 1",
                 Effect::kRewrites},
            Case{"ALTER TABLE t ADD c int DEFAULT 5", Effect::kCatalogs},
            Case{"ALTER TABLE t ADD c2 timestamptz DEFAULT now()",
                 Effect::kCatalogs},
            Case{"ALTER TABLE t ADD c3 uuid DEFAULT gen_random_uuid()",
                 Effect::kRewrites},
            Case{"ALTER TABLE t ADD c4 int GENERATED ALWAYS AS (i + 1) STORED",
                 Effect::kRewrites},
            Case{"ALTER TABLE t ADD c5 int GENERATED ALWAYS AS IDENTITY",
                 Effect::kRewrites},
            Case{"ALTER TABLE t ALTER s SET NOT NULL", Effect::kReadsRows},
            Case{"ALTER TABLE t ALTER m SET NOT NULL", Effect::kCatalogs},
            Case{"ALTER TABLE t ADD CHECK (i > 0)", Effect::kReadsRows},
            Case{"ALTER TABLE t ADD CHECK (i > 0) NOT VALID",
                 Effect::kCatalogs},
            Case{"ALTER TABLE t VALIDATE CONSTRAINT late", Effect::kReadsRows},
            Case{"ALTER TABLE t ADD FOREIGN KEY (i) REFERENCES u",
                 Effect::kReadsRows},
            Case{"ALTER TABLE t ADD FOREIGN KEY (i) REFERENCES u NOT VALID",
                 Effect::kCatalogs},
            Case{"ALTER TABLE t ADD c6 int REFERENCES u", Effect::kCatalogs},
            Case{"ALTER TABLE t ADD c7 int DEFAULT 1 REFERENCES u",
                 Effect::kReadsRows},
            Case{"ALTER TABLE t ADD UNIQUE (i)", Effect::kBuildsIndexes},
            Case{"ALTER TABLE t DROP CONSTRAINT small", Effect::kCatalogs},
            Case{"ALTER TABLE t ALTER s SET STORAGE EXTERNAL",
                 Effect::kCatalogs},
            Case{"ALTER TABLE t RENAME s TO z", Effect::kCatalogs},
            Case{"ALTER TABLE t DROP z", Effect::kCatalogs},
            Case{"CREATE INDEX ON t (i)", Effect::kBuildsIndexes},
            Case{"ALTER INDEX t_v RENAME TO t_w", Effect::kCatalogs},
            Case{"DROP INDEX t_w", Effect::kCatalogs},
            Case{"COMMENT ON TABLE t IS 'c'", Effect::kCatalogs},
            Case{"UPDATE t SET i = 5 WHERE id = 1000", Effect::kChangesRows},
            Case{"DELETE FROM t WHERE id = 1000", Effect::kChangesRows}},
        std::vector<Case>{Case{
            "SET TimeZone = 'UTC'; ALTER TABLE t ALTER ts TYPE timestamptz",
            Effect::kBuildsIndexes}},
        std::vector<Case>{
            Case{"SET TimeZone = 'Asia/Tokyo'; ALTER TABLE t ALTER ts TYPE "
                 "timestamptz",
                 Effect::kRewrites}},
        std::vector<Case>{Case{"CREATE TABLE t (id int PRIMARY KEY, v text)",
                               Effect::kMakesAnew}}));

const std::vector<std::string> kLocking = {
    "ALTER TABLE t ADD c int",
    "ALTER TABLE t ALTER i TYPE bigint",
    "ALTER TABLE t ALTER s SET NOT NULL",
    "ALTER TABLE t ADD CHECK (i > 0)",
    "ALTER TABLE t ADD FOREIGN KEY (i) REFERENCES u",
    "ALTER TABLE t ADD FOREIGN KEY (i) REFERENCES u, ALTER s DROP DEFAULT",
    "ALTER TABLE t ADD UNIQUE (i)",
    "ALTER TABLE t VALIDATE CONSTRAINT late",
    "ALTER TABLE t ALTER s SET STATISTICS 10",
    "ALTER TABLE t ALTER s SET (n_distinct = 5)",
    "ALTER TABLE t ALTER s SET STORAGE EXTERNAL",
    "ALTER TABLE t ALTER s SET COMPRESSION pglz",
    "ALTER TABLE t ALTER s SET DEFAULT 'x'",
    "ALTER TABLE t SET (fillfactor = 70)",
    "ALTER TABLE t RESET (fillfactor)",
    "ALTER TABLE t SET (fillfactor = 70, user_catalog_table = true)",
    "ALTER TABLE t CLUSTER ON t_v",
    "ALTER TABLE t SET WITHOUT CLUSTER",
    "ALTER TABLE t SET (fillfactor = 70), ALTER s DROP DEFAULT",
    "CREATE INDEX ON t (i)",
    "DROP INDEX t_ts",
    "COMMENT ON TABLE t IS 'c'",
    "COMMENT ON COLUMN t.s IS 'c'",
    "COMMENT ON CONSTRAINT small ON t IS 'c'",
    "COMMENT ON INDEX t_v IS 'c'",
    "CREATE STATISTICS q ON i, s FROM t",
    "GRANT SELECT ON t TO PUBLIC",
    "UPDATE t SET m = 5 WHERE id = 3",
    "DELETE FROM t WHERE id = 3",
    "ALTER INDEX t_v RENAME TO t_w",
    "ALTER TABLE t RENAME CONSTRAINT small TO tiny",
    "ALTER TABLE t RENAME s TO z"};

// The strongest on the table, or on the index that the statement names.
std::string lock_taken(test::Session& session, const std::string& statement) {
  constexpr std::array<std::string_view, 8> kModes = {
      "AccessShareLock",  "RowShareLock",
      "RowExclusiveLock", "ShareUpdateExclusiveLock",
      "ShareLock",        "ShareRowExclusiveLock",
      "ExclusiveLock",    "AccessExclusiveLock"};
  session.exec("BEGIN");
  session.exec(statement);
  const test::Rows rows = session.query_rows(
      "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN "
      "(SELECT 'src.t'::regclass UNION ALL SELECT indexrelid FROM pg_index "
      "WHERE indrelid = 'src.t'::regclass AND $1 LIKE '%INDEX t_v %')",
      statement);
  session.exec("ROLLBACK");
  std::string_view strongest;
  for (const std::string_view mode : kModes) {
    for (const test::Row& row : rows) {
      if (row[0] == mode) strongest = mode;
    }
  }
  // AccessShareLock, as LOCK TABLE names it.
  std::string name;
  for (const char c : strongest.substr(0, strongest.size() - 4)) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !name.empty()) name += ' ';
    name += upper ? c : static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

// On a table that is there already, which the lock's modes tell.
TEST_F(Native, LockIsWhatTheServerTakes) {
  make_tables("src", kTable);
  std::string script;
  for (const std::string& one : kLocking) script += one + ";\n";
  const Plan plan = plan_of(script);
  ASSERT_EQ(plan.native.size(), kLocking.size());
  test::Session session = this->session();
  session.exec("SET search_path = src, public");
  for (std::size_t i = 0; i < kLocking.size(); ++i) {
    const std::string taken = lock_taken(session, kLocking[i]);
    // GRANT locks since some versions only.
    const bool none = taken.empty() && kLocking[i].starts_with("GRANT");
    EXPECT_EQ(plan.native[i].lock, none ? "ACCESS SHARE" : taken)
        << kLocking[i];
  }
}

TEST_F(Native, EachStatementIsToldApart) {
  make_tables("src", kTable);
  const Plan plan = plan_of(
      "SET TimeZone = 'UTC';\nBEGIN;\nALTER TABLE t ADD c int;\nALTER TABLE t "
      "ALTER c TYPE bigint;\nCREATE INDEX CONCURRENTLY ON t (c);\nCREATE INDEX "
      "ON t (i);\nCOMMIT;\nDROP INDEX IF EXISTS nobody");
  EXPECT_THAT(
      plan.native,
      ElementsAre(Field(&NativeStep::line, 3), Field(&NativeStep::line, 4),
                  Field(&NativeStep::line, 5), Field(&NativeStep::line, 6),
                  Field(&NativeStep::line, 8)));
  EXPECT_EQ(plan.native[0].effect, Effect::kCatalogs);
  EXPECT_EQ(plan.native[1].effect, Effect::kRewrites);
  EXPECT_EQ(plan.native[2].lock, "SHARE UPDATE EXCLUSIVE");
  EXPECT_EQ(plan.native[2].instead, "");
  EXPECT_EQ(plan.native[3].object, "src.t");
  EXPECT_THAT(plan.native[3].instead, HasSubstr("CONCURRENTLY"));
}

// The server does neither CONCURRENTLY nor USING INDEX there.
TEST_F(Native, OfAPartitionedTableNothingIsAdvisedThatTheServerRefuses) {
  make_tables("src",
              "CREATE TABLE t (id int PRIMARY KEY, i int) PARTITION BY RANGE "
              "(id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9);"
              "CREATE INDEX old ON t (i)");
  const Plan plan = plan_of(
      "CREATE INDEX ON t (i);\nDROP INDEX old;\n"
      "ALTER TABLE t ADD UNIQUE (id, i)");
  ASSERT_EQ(plan.native.size(), 3U);
  EXPECT_THAT(plan.native[0].instead, StartsWith("CREATE INDEX .. ON ONLY"));
  EXPECT_EQ(plan.native[1].instead, "");
  EXPECT_EQ(plan.native[2].instead, "");
}

// Nothing else shows that rows were read.
TEST_F(Native, WithoutCountsNothingIsClaimed) {
  make_tables("src", kTable);
  admin_.exec(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', "
      "current_database()); END $$");
  connection_ = std::make_unique<pg::Connection>(pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast"}, "fold", {}));
  const Plan plan = plan_of("ALTER TABLE t ALTER s SET NOT NULL");
  EXPECT_THAT(plan.native, IsEmpty());
  EXPECT_THAT(plan.notes, Contains(HasSubstr("track_counts is off")));
}

}  // namespace
}  // namespace pgrecast::plan
