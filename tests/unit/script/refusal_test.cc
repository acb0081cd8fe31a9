#include "unit/script/parsed.h"

#include <gtest/gtest.h>

namespace pgrecast::script {
namespace {

struct RefusalCase {
  const char* text;
  Place place;
  const char* message;  // a part of it
};

class Refusals : public testing::TestWithParam<RefusalCase> {};

TEST_P(Refusals, NameTheReasonAndThePlace) {
  const auto problems = problems_of(GetParam().text);

  ASSERT_EQ(problems.size(), 1U) << GetParam().text;
  EXPECT_EQ(problems[0].kind, ScriptProblem::Kind::kRefused);
  EXPECT_NE(problems[0].message.find(GetParam().message), std::string::npos)
      << problems[0].message;
  EXPECT_EQ(problems[0].place.line, GetParam().place.line);
  EXPECT_EQ(problems[0].place.column, GetParam().place.column)
      << problems[0].formatted;
  EXPECT_FALSE(problems[0].remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    CreateTable, Refusals,
    testing::Values(
        RefusalCase{
            "CREATE TABLE IF NOT EXISTS t (a int) PARTITION BY LIST (a)",
            {1, 1},
            "IF NOT EXISTS"},
        RefusalCase{"CREATE UNLOGGED TABLE t (a int) PARTITION BY LIST (a)",
                    {1, 1},
                    "unlogged"},
        RefusalCase{"CREATE TEMP TABLE t (a int)", {1, 1}, "temporary"},
        RefusalCase{
            "CREATE TABLE t (a int) ON COMMIT DROP", {1, 1}, "ON COMMIT"},
        RefusalCase{"CREATE TABLE t (a bigserial)", {1, 17}, "new sequence"},
        RefusalCase{
            "CREATE TABLE t (a int REFERENCES u)", {1, 23}, "foreign key"},
        RefusalCase{
            "CREATE TABLE t (LIKE u) PARTITION BY LIST (a)", {1, 22}, "LIKE"},
        RefusalCase{"CREATE TABLE t (a serial) PARTITION BY LIST (a)",
                    {1, 17},
                    "new sequence"},
        RefusalCase{"CREATE TABLE t (a int REFERENCES u) PARTITION BY LIST (a)",
                    {1, 23},
                    "foreign key"},
        RefusalCase{"CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u) "
                    "PARTITION BY LIST (a)",
                    {1, 24},
                    "foreign key"},
        RefusalCase{
            "CREATE TABLE t OF y PARTITION BY LIST (a)", {1, 1}, "typed table"},
        RefusalCase{"CREATE TABLE t (a int) INHERITS (u)", {1, 1}, "inherits"},
        RefusalCase{"CREATE TABLE p PARTITION OF t (CHECK (a > 0)) DEFAULT",
                    {1, 1},
                    "of its own"},
        RefusalCase{"CREATE TABLE a.b.p PARTITION OF t DEFAULT",
                    {1, 14},
                    "three parts"}));

INSTANTIATE_TEST_SUITE_P(
    Identity, Refusals,
    testing::Values(
        RefusalCase{"ALTER TABLE t ALTER a RESTART", {1, 15}, "RESTART"},
        RefusalCase{
            "ALTER TABLE t ALTER a SET INCREMENT 2 SET START 9 RESTART WITH 9",
            {1, 15},
            "RESTART"}));

INSTANTIATE_TEST_SUITE_P(
    Update, Refusals,
    testing::Values(
        RefusalCase{"UPDATE t SET a = u.b FROM u", {1, 27}, "UPDATE .. FROM"},
        RefusalCase{"UPDATE t SET a = 1 RETURNING a", {1, 30}, "RETURNING"},
        RefusalCase{"WITH x AS (SELECT 1) UPDATE t SET a = 1", {1, 1}, "WITH"},
        RefusalCase{
            "UPDATE t SET (a, b) = (1, 2)", {1, 15}, "several columns at once"},
        RefusalCase{"UPDATE t SET (a, b) = (SELECT 1, 2)",
                    {1, 15},
                    "several columns at once"},
        RefusalCase{
            "UPDATE t SET b = 1, a = DEFAULT", {1, 21}, "= DEFAULT depends"},
        RefusalCase{"UPDATE t SET a[1] = 2", {1, 14}, "part of the column a"},
        RefusalCase{"UPDATE t SET a.f = 2", {1, 14}, "part of the column a"},
        RefusalCase{
            "UPDATE t SET a = 1, b = 2, a = 3", {1, 28}, "a is assigned twice"},
        RefusalCase{
            "UPDATE t SET a = 1 WHERE CURRENT OF c", {1, 26}, "CURRENT OF"},
        RefusalCase{"UPDATE t SET a = (SELECT max(b) FROM u)",
                    {1, 18},
                    "sub-select reads other tables"},
        RefusalCase{"UPDATE t SET a = 1 WHERE b IN (SELECT c FROM u)",
                    {1, 26},
                    "sub-select"},
        RefusalCase{
            "UPDATE t SET a = f(ARRAY(SELECT 1))", {1, 20}, "sub-select"},
        RefusalCase{"UPDATE t SET a = 1 WHERE EXISTS (SELECT 1)",
                    {1, 26},
                    "sub-select"},
        RefusalCase{"UPDATE t SET a = $1", {1, 18}, "parameter"},
        RefusalCase{"UPDATE t SET a = f(t.*)", {1, 20}, "whole row"},
        RefusalCase{"UPDATE t SET a = (b).*", {1, 19}, "whole row"},
        RefusalCase{
            "UPDATE t SET a = 1 + s.t.b", {1, 22}, "qualified with a schema"},
        RefusalCase{"UPDATE t SET a = u.b", {1, 18}, "u is not the table"},
        RefusalCase{"UPDATE t AS x SET a = t.b", {1, 23}, "t is not the table"},
        RefusalCase{"UPDATE t SET a = 1 WHERE ctid = '(0,1)'",
                    {1, 26},
                    "system column ctid"},
        RefusalCase{
            "UPDATE t SET a = t.tableoid", {1, 18}, "system column tableoid"},
        RefusalCase{"UPDATE t SET a = row_number() OVER (ORDER BY b)",
                    {1, 18},
                    "window function"},
        RefusalCase{"UPDATE d.s.t SET a = 1", {1, 8}, "three parts"}));

INSTANTIATE_TEST_SUITE_P(
    Delete, Refusals,
    testing::Values(
        RefusalCase{"DELETE FROM t", {1, 1}, "DELETE without WHERE"},
        RefusalCase{"DELETE FROM t USING u WHERE t.a = u.a",
                    {1, 21},
                    "DELETE .. USING"},
        RefusalCase{"DELETE FROM t WHERE a RETURNING b", {1, 33}, "RETURNING"},
        RefusalCase{
            "WITH x AS (SELECT 1) DELETE FROM t WHERE a", {1, 1}, "WITH"},
        RefusalCase{"DELETE FROM t WHERE CURRENT OF c", {1, 21}, "CURRENT OF"},
        RefusalCase{"DELETE FROM t WHERE NOT EXISTS (SELECT 1 FROM u)",
                    {1, 25},
                    "sub-select"}));

INSTANTIATE_TEST_SUITE_P(
    AlterTable, Refusals,
    testing::Values(
        RefusalCase{"ALTER TABLE t ATTACH PARTITION p DEFAULT",
                    {1, 15},
                    "ATTACH PARTITION"},
        RefusalCase{"ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
                    {1, 15},
                    "DETACH PARTITION"},
        RefusalCase{"ALTER TABLE t DETACH PARTITION p FINALIZE",
                    {1, 15},
                    "DETACH PARTITION"},
        RefusalCase{"ALTER TABLE t INHERIT p", {1, 15}, "INHERIT"},
        RefusalCase{
            "ALTER TABLE t DROP a,\n  NO INHERIT p", {2, 3}, "NO INHERIT"},
        RefusalCase{"ALTER TABLE t OF ty", {1, 15}, "OF"},
        RefusalCase{"ALTER TABLE t NOT OF", {1, 15}, "NOT OF"},
        RefusalCase{"ALTER TABLE t OWNER TO r", {1, 15}, "OWNER TO"},
        RefusalCase{
            "ALTER TABLE t DISABLE TRIGGER ALL", {1, 15}, "DISABLE TRIGGER"},
        RefusalCase{
            "ALTER TABLE t ENABLE ALWAYS TRIGGER x", {1, 15}, "ENABLE TRIGGER"},
        RefusalCase{
            "ALTER TABLE t ENABLE REPLICA RULE x", {1, 15}, "ENABLE RULE"},
        RefusalCase{"ALTER TABLE t ENABLE ROW LEVEL SECURITY",
                    {1, 15},
                    "ROW LEVEL SECURITY"},
        RefusalCase{"ALTER TABLE t NO FORCE ROW LEVEL SECURITY",
                    {1, 15},
                    "ROW LEVEL SECURITY"},
        RefusalCase{"ALTER TABLE t ALTER CONSTRAINT c DEFERRABLE",
                    {1, 15},
                    "ALTER CONSTRAINT"},
        RefusalCase{"ALTER TABLE t OPTIONS (ADD a 'b')", {1, 15}, "OPTIONS"},
        RefusalCase{"ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES d.s.u",
                    {1, 46},
                    "three parts"},
        RefusalCase{"ALTER TABLE t ADD a int DEFAULT 1 DEFAULT 2",
                    {1, 35},
                    "two such clauses"},
        RefusalCase{"ALTER TABLE t RENAME TO u", {1, 1}, "RENAME TO"},
        RefusalCase{"ALTER TABLE t SET SCHEMA s", {1, 1}, "SET SCHEMA"},
        RefusalCase{"ALTER TABLE t ALTER a TYPE int USING (SELECT 1)",
                    {1, 38},
                    "sub-select"},
        RefusalCase{"ALTER TABLE t ALTER a TYPE int USING s.t.a",
                    {1, 38},
                    "qualified with a schema"},
        RefusalCase{"ALTER TABLE t ADD CHECK (s.t.a > 0)",
                    {1, 26},
                    "qualified with a schema"},
        RefusalCase{"CREATE INDEX ON t ((s.t.a))",
                    {1, 21},
                    "qualified with a schema"}));

INSTANTIATE_TEST_SUITE_P(
    Objects, Refusals,
    testing::Values(
        RefusalCase{"COMMENT ON VIEW v IS 'x'", {1, 1}, "COMMENT ON is"},
        RefusalCase{"COMMENT ON TRIGGER g ON t IS 'x'",
                    {1, 1},
                    "COMMENT ON is supported for tables, columns"},
        RefusalCase{"COMMENT ON CONSTRAINT c ON DOMAIN d IS 'x'",
                    {1, 1},
                    "COMMENT ON is"},
        RefusalCase{"COMMENT ON COLUMN c IS 'x'", {1, 19}, "without a table"},
        RefusalCase{"COMMENT ON COLUMN d.s.t.c IS 'x'", {1, 19}, "three parts"},
        RefusalCase{"COMMENT ON TABLE d.s.t IS 'x'", {1, 18}, "three parts"},
        RefusalCase{"COMMENT ON INDEX d.s.i IS 'x'", {1, 18}, "three parts"},
        RefusalCase{
            "COMMENT ON CONSTRAINT c ON d.s.t IS ''", {1, 28}, "three parts"},
        RefusalCase{
            "GRANT SELECT ON t, u TO r", {1, 20}, "several tables are named"},
        RefusalCase{"GRANT SELECT ON t TO r GRANTED BY q",
                    {1, 35},
                    "GRANTED BY names who grants"},
        RefusalCase{"GRANT USAGE ON SEQUENCE s TO r", {1, 1}, "tables and"},
        RefusalCase{"REVOKE ALL ON ALL TABLES IN SCHEMA s FROM r",
                    {1, 1},
                    "tables and columns only"},
        RefusalCase{"GRANT r TO q", {1, 1}, "GRANT is not supported"},
        RefusalCase{"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO r",
                    {1, 1},
                    "ALTER"},
        RefusalCase{"CREATE STATISTICS x ON a, b FROM t, u",
                    {1, 1},
                    "one table behind FROM"},
        RefusalCase{
            "CREATE STATISTICS d.s.x ON a, b FROM t", {1, 19}, "three parts"},
        RefusalCase{"CREATE STATISTICS x ON a, (s.t.b + 1) FROM t",
                    {1, 28},
                    "qualified with a schema"},
        RefusalCase{"DROP STATISTICS a, d.s.b", {1, 20}, "three parts"},
        RefusalCase{"ALTER INDEX d.s.i RENAME TO j", {1, 13}, "three parts"}));

INSTANTIATE_TEST_SUITE_P(
    Others, Refusals,
    testing::Values(
        RefusalCase{"create temp table t as select 1", {1, 1}, "CREATE TABLE"},
        RefusalCase{"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql "
                    "AS 'SELECT 1; SELECT 2'",
                    {1, 1},
                    "CREATE FUNCTION"},
        RefusalCase{"ALTER INDEX i ATTACH PARTITION p", {1, 1}, "ALTER INDEX"},
        RefusalCase{"ALTER INDEX ALL IN TABLESPACE a SET TABLESPACE b",
                    {1, 1},
                    "ALTER INDEX"},
        RefusalCase{
            "ALTER STATISTICS s SET STATISTICS 5", {1, 1}, "ALTER STATISTICS"},
        RefusalCase{"ALTER VIEW v RENAME COLUMN a TO b", {1, 1}, "ALTER VIEW"},
        RefusalCase{"SET ROLE r", {1, 1}, "belong to the owner"},
        RefusalCase{"SET SESSION AUTHORIZATION r", {1, 1}, "session_auth"},
        RefusalCase{"SET session_replication_role = replica",
                    {1, 1},
                    "before it has any trigger"},
        RefusalCase{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                    {1, 1},
                    "its transactions itself"},
        RefusalCase{"ROLLBACK", {1, 1}, "takes back"},
        RefusalCase{"SAVEPOINT s", {1, 1}, "savepoints"},
        RefusalCase{"PREPARE TRANSACTION 'x'", {1, 1}, "prepared"},
        RefusalCase{"SELECT 1", {1, 1}, "SELECT"},
        RefusalCase{"INSERT INTO t VALUES (1)", {1, 1}, "INSERT"},
        RefusalCase{"TRUNCATE t", {1, 1}, "TRUNCATE"},
        RefusalCase{"DROP TABLE t", {1, 1}, "DROP TABLE"},
        RefusalCase{"  \n /* x */ DROP VIEW v", {2, 10}, "DROP VIEW"},
        RefusalCase{"DROP INDEX a, b.c.d", {1, 15}, "three parts"},
        RefusalCase{"\\timing on\nUPDATE t SET a = 1",
                    {1, 1},
                    "\\timing is a meta-command of psql"},
        RefusalCase{"UPDATE t SET a = '\n\\x';\n  \\echo it's\n",
                    {3, 3},
                    "meta-command"},
        RefusalCase{"SELECT 1 \\gset", {1, 10}, "meta-command"},
        RefusalCase{"", {1, 1}, "no statement"},
        RefusalCase{" -- nothing\n;;\n", {1, 1}, "no statement"}));

TEST(ScriptError, TellsTheFirstProblemOfEveryStatement) {
  const auto problems =
      problems_of("DELETE FROM t;\nUPDATE t SET a = 1;\nSELECT 1;");

  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(problems[0].place.line, 1);
  EXPECT_EQ(problems[1].place.line, 3);
}

TEST(ScriptError, KeepsTheState) {
  try {
    parse("SELECT 1; SELECT 2");
    FAIL() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.remedy(), Remedy::kFail);
    EXPECT_EQ(std::string(error.what()),
              "test.sql:1:1: SELECT is not supported in a script\n"
              "  SELECT 1; SELECT 2\n"
              "  ^\n"
              "  take it out of the script, and run it by hand before or after "
              "the migration\n"
              "test.sql:1:11: SELECT is not supported in a script\n"
              "  SELECT 1; SELECT 2\n"
              "            ^\n"
              "  take it out of the script, and run it by hand before or after "
              "the migration");
  }
}

struct SyntaxCase {
  const char* text;
  Place place;
};

class SyntaxErrors : public testing::TestWithParam<SyntaxCase> {};

TEST_P(SyntaxErrors, StandWhereTheParserSawThem) {
  const auto problems = problems_of(GetParam().text);

  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].kind, ScriptProblem::Kind::kSyntax);
  EXPECT_EQ(problems[0].place.line, GetParam().place.line);
  EXPECT_EQ(problems[0].place.column, GetParam().place.column)
      << problems[0].formatted;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, SyntaxErrors,
    testing::Values(SyntaxCase{"UPDATE t SET a = ;", {1, 18}},
                    SyntaxCase{"UPDATE t SET größe = 'ß' + ;", {1, 28}},
                    SyntaxCase{"-- ß\nUPDATE t SET a = 'x", {2, 18}},
                    SyntaxCase{"UPDATE t SET a = /* b", {1, 18}},
                    SyntaxCase{"UPDATE t SET a = :value", {1, 18}},
                    SyntaxCase{"UPDATE t SET a = b +", {1, 21}},
                    SyntaxCase{"UPDATE t SET a = '\xFF'", {1, 19}}));

TEST(SyntaxError, ForZeroBytesAndBrokenUtf8) {
  for (const std::string& bytes :
       {std::string("\0", 1), std::string("\xC0\x80"),
        std::string("\xED\xA0\x80"), std::string("\xF5\x80\x80\x80"),
        std::string("\xE2\x82"), std::string("\x80")}) {
    const auto problems = problems_of("UPDATE t SET a = '" + bytes + "'");

    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].kind, ScriptProblem::Kind::kSyntax);
    EXPECT_NE(problems[0].message.find("UTF-8"), std::string::npos);
  }
}

TEST(SyntaxError, ForNestingThatWouldExhaustTheStack) {
  std::string chain = "a";
  for (int i = 0; i < 20000; ++i) chain += " + a";
  const auto problems = problems_of("UPDATE t SET a = " + chain);

  ASSERT_EQ(problems.size(), 1U);
  EXPECT_NE(problems[0].message.find("nested too deeply"), std::string::npos);
}

TEST(Script, TakesLongFlatExpressions) {
  std::string list = "0";
  for (int i = 1; i < 5000; ++i) list += ", " + std::to_string(i);
  const Script script = parse("DELETE FROM t WHERE a IN (" + list + ")");

  EXPECT_EQ(slice(script, body<Delete>(script).where.span),
            "a IN (" + list + ")");
}

}  // namespace
}  // namespace pgrecast::script
