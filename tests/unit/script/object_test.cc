#include "unit/script/parsed.h"

#include <gtest/gtest.h>

// Statements on what hangs on a table: comments, grants, statistics, and the
// names of indexes and constraints.
namespace pgrecast::script {
namespace {

struct ReplaceCase {
  const char* text;
  const char* expected;  // on m."T x"
};

class TableOf : public testing::TestWithParam<ReplaceCase> {};

TEST_P(TableOf, IsReplacedAndNothingElse) {
  const Script script = parse(GetParam().text);

  ASSERT_NE(table_of(script.statements().at(0)), nullptr);
  EXPECT_EQ(script.with_table_replaced(script.statements().at(0), "m.\"T x\""),
            GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Objects, TableOf,
    testing::Values(
        ReplaceCase{"COMMENT ON TABLE t IS 't'",
                    "COMMENT ON TABLE m.\"T x\" IS 't'"},
        ReplaceCase{"comment on table\"s\".\"t\"is null;",
                    "comment on table m.\"T x\" is null"},
        ReplaceCase{"COMMENT ON COLUMN t.t IS 't.t'",
                    "COMMENT ON COLUMN m.\"T x\" .t IS 't.t'"},
        ReplaceCase{
            "COMMENT ON COLUMN s . t /* . */ . \"c.\"\"d\" IS $$x$$",
            "COMMENT ON COLUMN m.\"T x\" /* . */ . \"c.\"\"d\" IS $$x$$"},
        ReplaceCase{"COMMENT ON COLUMN U&\"!0074\" UESCAPE '!' . c IS ''",
                    "COMMENT ON COLUMN m.\"T x\" . c IS ''"},
        ReplaceCase{"COMMENT ON CONSTRAINT t ON t IS E'\\n'",
                    "COMMENT ON CONSTRAINT t ON m.\"T x\" IS E'\\n'"},
        ReplaceCase{"COMMENT ON CONSTRAINT \"on\" ON s.\"is\" IS 'x'",
                    "COMMENT ON CONSTRAINT \"on\" ON m.\"T x\" IS 'x'"},
        ReplaceCase{"GRANT SELECT (t), UPDATE ON TABLE s.t TO t, PUBLIC",
                    "GRANT SELECT (t), UPDATE ON TABLE m.\"T x\" TO t, PUBLIC"},
        ReplaceCase{"REVOKE GRANT OPTION FOR ALL ON t FROM t CASCADE",
                    "REVOKE GRANT OPTION FOR ALL ON m.\"T x\" FROM t CASCADE"},
        ReplaceCase{"CREATE STATISTICS t (mcv) ON t, (t.t + 1) FROM t",
                    "CREATE STATISTICS t (mcv) ON t, (t.t + 1) FROM m.\"T x\""},
        ReplaceCase{"ALTER TABLE t RENAME CONSTRAINT t TO u",
                    "ALTER TABLE m.\"T x\" RENAME CONSTRAINT t TO u"}));

class ObjectOf : public testing::TestWithParam<ReplaceCase> {};

TEST_P(ObjectOf, IsReplacedAndNothingElse) {
  const Script script = parse(GetParam().text);

  EXPECT_EQ(script.with_object_replaced(script.statements().at(0), "m.\"T x\""),
            GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Objects, ObjectOf,
    testing::Values(
        ReplaceCase{"COMMENT ON INDEX i IS 'i'",
                    "COMMENT ON INDEX m.\"T x\" IS 'i'"},
        ReplaceCase{"COMMENT ON STATISTICS s.\"i \"\"\" IS NULL",
                    "COMMENT ON STATISTICS m.\"T x\" IS NULL"},
        ReplaceCase{"ALTER INDEX IF EXISTS s.i RENAME TO i",
                    "ALTER INDEX IF EXISTS m.\"T x\" RENAME TO i"},
        ReplaceCase{"ALTER INDEX i SET (fillfactor = 70)",
                    "ALTER INDEX m.\"T x\" SET (fillfactor = 70)"},
        ReplaceCase{"ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 5",
                    "ALTER INDEX m.\"T x\" ALTER COLUMN 1 SET STATISTICS 5"},
        ReplaceCase{"CREATE STATISTICS IF NOT EXISTS s.x ON x, y FROM x",
                    "CREATE STATISTICS IF NOT EXISTS m.\"T x\" ON x, y FROM "
                    "x"}));

TEST(Statistics, AreReplacedTogetherWithTheirTable) {
  const Script script =
      parse("CREATE STATISTICS s.x (ndistinct) ON x, (lower(y)) FROM ONLY x");

  EXPECT_EQ(
      script.with_statistics_replaced(script.statements().at(0), "m.x", "m.t"),
      "CREATE STATISTICS m.x (ndistinct) ON x, (lower(y)) FROM ONLY m.t");
}

TEST(Statistics, AreRefusedANameThatIsNone) {
  const Script script = parse("CREATE STATISTICS x ON a, b FROM t");

  for (const char* name : {"", "x y", "x, y", "x ON c, d FROM u --"}) {
    const Statement& statement = script.statements().at(0);
    EXPECT_THROW(script.with_statistics_replaced(statement, name, "t"),
                 ScriptError)
        << name;
    EXPECT_THROW(script.with_statistics_replaced(statement, "x", name),
                 ScriptError)
        << name;
    EXPECT_THROW(script.with_object_replaced(statement, name), ScriptError)
        << name;
  }
}

TEST(Statistics, ToBeDroppedAreListed) {
  const Script script =
      parse("DROP STATISTICS if; DROP STATISTICS IF EXISTS s.\"A\", b CASCADE");

  EXPECT_EQ(body<DropStatistics>(script, 0).statistics.at(0).name, "if");
  const auto& both = body<DropStatistics>(script, 1);
  EXPECT_TRUE(both.if_exists);
  EXPECT_EQ(both.statistics.at(0).schema, "s");
  EXPECT_EQ(both.statistics.at(0).name, "A");
  EXPECT_EQ(slice(script, both.statistics.at(1).span), "b");
}

TEST(Comment, SaysWhatItIsOn) {
  const Script script = parse(
      "COMMENT ON TABLE a.b IS ''; COMMENT ON COLUMN a.b.\"C\" IS '';"
      "COMMENT ON CONSTRAINT d ON b IS ''; COMMENT ON INDEX a.i IS ''");

  EXPECT_EQ(body<CommentOnTable>(script, 0).part, CommentOnTable::Part::kTable);
  const auto& column = body<CommentOnTable>(script, 1);
  EXPECT_EQ(column.part, CommentOnTable::Part::kColumn);
  EXPECT_EQ(column.table.schema, "a");
  EXPECT_EQ(column.table.name, "b");
  EXPECT_EQ(column.name, "C");
  EXPECT_EQ(body<CommentOnTable>(script, 2).name, "d");
  EXPECT_EQ(body<CommentOnTable>(script, 2).table.schema, std::nullopt);
  EXPECT_EQ(body<CommentOnObject>(script, 3).object.schema, "a");
}

TEST(AlterIndex, SaysTheNewName) {
  const Script script = parse(
      "ALTER INDEX a.i RENAME TO \"J\"; ALTER INDEX i RESET (fillfactor)");

  EXPECT_EQ(body<AlterIndex>(script, 0).index.name, "i");
  EXPECT_EQ(body<AlterIndex>(script, 0).renamed_to, "J");
  EXPECT_EQ(body<AlterIndex>(script, 1).renamed_to, std::nullopt);
}

}  // namespace
}  // namespace pgrecast::script
