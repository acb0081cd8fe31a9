#include "unit/script/parsed.h"

#include <gtest/gtest.h>

namespace pgrecast::script {
namespace {

TEST(CreateTableTest, ReplacesTheTableAlone) {
  const Script script = parse(
      "CREATE TABLE s.\"T\"(a int, CHECK (\"T\".a > 0))PARTITION BY LIST (a)");
  EXPECT_EQ(body<CreateTable>(script).table.name, "T");
  EXPECT_EQ(
      script.with_table_replaced(script.statements()[0], "m.\"T\""),
      "CREATE TABLE m.\"T\" (a int, CHECK (\"T\".a > 0))PARTITION BY LIST "
      "(a)");
}

TEST(CreateTableTest, ReplacesThePartitionAndItsParent) {
  const Script script = parse(
      "CREATE TABLE t/* t */PARTITION OF \"of\" FOR VALUES IN ('t', 'of')");
  const auto& partition = body<CreatePartition>(script);
  EXPECT_EQ(partition.partition.name, "t");
  EXPECT_EQ(partition.parent.name, "of");
  EXPECT_EQ(table_of(script.statements()[0]), nullptr);
  EXPECT_EQ(
      script.with_partition_replaced(script.statements()[0], "m.t", "m.\"of\""),
      "CREATE TABLE m.t /* t */PARTITION OF m.\"of\" FOR VALUES IN ('t', "
      "'of')");
}

struct UpdateCase {
  const char* text;
  const char* expression;  // of the first assignment
  const char* where;       // nullptr: none
};

class UpdateSlices : public testing::TestWithParam<UpdateCase> {};

TEST_P(UpdateSlices, AreExactlyTheExpressions) {
  const Script script = parse(GetParam().text);
  const auto& update = body<Update>(script);

  EXPECT_EQ(slice(script, update.assignments.at(0).expression.span),
            GetParam().expression);
  ASSERT_EQ(update.where.has_value(), GetParam().where != nullptr);
  if (update.where) {
    EXPECT_EQ(slice(script, update.where->span), GetParam().where);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, UpdateSlices,
    testing::Values(
        UpdateCase{"UPDATE t SET a = 1", "1", nullptr},
        UpdateCase{"UPDATE t SET a=1;", "1", nullptr},
        UpdateCase{"UPDATE t SET a=-1;", "-1", nullptr},
        UpdateCase{"UPDATE t SET a=- -b", "- -b", nullptr},
        UpdateCase{"UPDATE t SET a = b, c = 2", "b", nullptr},
        UpdateCase{"UPDATE t SET a = (b), c = 2", "(b)", nullptr},
        UpdateCase{"UPDATE t SET a = ((b + 1)) * (2) WHERE ((c))",
                   "((b + 1)) * (2)", "((c))"},
        UpdateCase{"update t set a = b where c", "b", "c"},
        UpdateCase{"UPDATE t SET a = b -- , c = 2 WHERE x\n WHERE d", "b", "d"},
        UpdateCase{"UPDATE t SET a = b-- comment\n-1 WHERE d--e",
                   "b-- comment\n-1", "d"},
        UpdateCase{"UPDATE/**/t/**/SET/**/a/**/=/**/b/**/WHERE/**/c/**/;", "b",
                   "c"},
        UpdateCase{"UPDATE t SET a = /* x /* y */ WHERE */ b /* z */ WHERE c",
                   "b", "c"},
        UpdateCase{"UPDATE t SET a = ' WHERE '' , ' WHERE b = ';'",
                   "' WHERE '' , '", "b = ';'"},
        UpdateCase{R"(UPDATE t SET a = E'\' WHERE ' WHERE c)",
                   R"(E'\' WHERE ')", "c"},
        UpdateCase{"UPDATE t SET a = E'x'\n  '\\' WHERE' WHERE c",
                   "E'x'\n  '\\' WHERE'", "c"},
        UpdateCase{"UPDATE t SET a = $$ ' WHERE ; $$ WHERE c",
                   "$$ ' WHERE ; $$", "c"},
        UpdateCase{"UPDATE t SET a = $x$ $$ WHERE $x$, b = 2",
                   "$x$ $$ WHERE $x$", nullptr},
        UpdateCase{"UPDATE t SET a = U&'d!0061t' UESCAPE '!', b = 1",
                   "U&'d!0061t' UESCAPE '!'", nullptr},
        UpdateCase{"UPDATE t SET a = U&'\\0061''' WHERE c", "U&'\\0061'''",
                   "c"},
        UpdateCase{"UPDATE t SET a = U&'x'\n \t\n 'z' -- y\n WHERE c",
                   "U&'x'\n \t\n 'z'", "c"},
        UpdateCase{"UPDATE t SET U&\"d!0061\" UESCAPE '!' = U&\"b\" WHERE c",
                   "U&\"b\"", "c"},
        UpdateCase{"UPDATE t SET a = \"where\" WHERE \"set\" = \",\"",
                   "\"where\"", "\"set\" = \",\""},
        UpdateCase{"UPDATE t SET a = t.where WHERE t.set = t.from", "t.where",
                   "t.set = t.from"},
        UpdateCase{"UPDATE t SET a = b ->> 'x' WHERE b @> '{}'", "b ->> 'x'",
                   "b @> '{}'"},
        UpdateCase{"UPDATE t SET a = b OPERATOR(pg_catalog.=) c WHERE d",
                   "b OPERATOR(pg_catalog.=) c", "d"},
        UpdateCase{"UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END WHERE c",
                   "CASE WHEN b THEN 1 ELSE 2 END", "c"},
        UpdateCase{"UPDATE t SET a = b BETWEEN 1 AND 2 AND c, d = 1",
                   "b BETWEEN 1 AND 2 AND c", nullptr},
        UpdateCase{"UPDATE t SET a = b IS DISTINCT FROM c WHERE d",
                   "b IS DISTINCT FROM c", "d"},
        UpdateCase{"UPDATE t SET a = substring(b FROM 1 FOR 2) || extract(year "
                   "FROM c)",
                   "substring(b FROM 1 FOR 2) || extract(year FROM c)",
                   nullptr},
        UpdateCase{"UPDATE t SET a = b::numeric(10, 2)::text[]",
                   "b::numeric(10, 2)::text[]", nullptr},
        UpdateCase{"UPDATE t SET a = ARRAY[1, 2, b[3]], c = d[1:2]",
                   "ARRAY[1, 2, b[3]]", nullptr},
        UpdateCase{"UPDATE t SET a = b AT TIME ZONE 'UTC' COLLATE \"C\"",
                   "b AT TIME ZONE 'UTC' COLLATE \"C\"", nullptr},
        UpdateCase{"UPDATE t SET a = (b, c), d = ROW(1, 2)", "(b, c)", nullptr},
        UpdateCase{"UPDATE t SET a = b = c WHERE d = e", "b = c", "d = e"},
        UpdateCase{"UPDATE t SET a = interval '1' day * 2",
                   "interval '1' day * 2", nullptr},
        UpdateCase{"UPDATE t SET a = f(b, c => 2, VARIADIC d)",
                   "f(b, c => 2, VARIADIC d)", nullptr},
        UpdateCase{"UPDATE t SET a\r\n=\r\n\tb\r\nWHERE\r\nc\r\n;\r\n", "b",
                   "c"},
        UpdateCase{"UPDATE t SET größe = 'Maß' || größe WHERE größe <> 'ß'",
                   "'Maß' || größe", "größe <> 'ß'"},
        UpdateCase{
            "UPDATE \"日本\" SET \"語\" = '日', b = 2 WHERE \"語\" = '本'",
            "'日'", "\"語\" = '本'"}));

TEST(Update, NamesItsTableItsAliasAndItsColumnsDecoded) {
  const Script script =
      parse("UPDATE ONLY S.\"T\"\"x\" AS Y SET A = 1, \"B c\" = 2");

  const auto& update = body<Update>(script);
  EXPECT_EQ(update.table.schema, "s");
  EXPECT_EQ(update.table.name, "T\"x");
  EXPECT_TRUE(update.table.only);
  EXPECT_EQ(slice(script, update.table.span), "S.\"T\"\"x\"");
  EXPECT_EQ(update.alias, "y");
  ASSERT_EQ(update.assignments.size(), 2U);
  EXPECT_EQ(update.assignments[0].column, "a");
  EXPECT_EQ(update.assignments[1].column, "B c");
}

TEST(Update, HasNoAliasAndNoSchemaUnlessWritten) {
  const Script script = parse("UPDATE t SET a = 1");

  EXPECT_EQ(body<Update>(script).alias, std::nullopt);
  EXPECT_EQ(body<Update>(script).table.schema, std::nullopt);
  EXPECT_FALSE(body<Update>(script).table.only);
}

TEST(Update, EveryAssignmentHasItsOwnSlice) {
  const Script script =
      parse("UPDATE t SET a = f(1, 2), b = (c, d), e = ARRAY[1,2] WHERE g");

  const auto& assignments = body<Update>(script).assignments;
  ASSERT_EQ(assignments.size(), 3U);
  EXPECT_EQ(slice(script, assignments[0].expression.span), "f(1, 2)");
  EXPECT_EQ(slice(script, assignments[1].expression.span), "(c, d)");
  EXPECT_EQ(slice(script, assignments[2].expression.span), "ARRAY[1,2]");
}

struct DeleteCase {
  const char* text;
  const char* where;
};

class DeleteSlices : public testing::TestWithParam<DeleteCase> {};

TEST_P(DeleteSlices, AreExactlyTheCondition) {
  const Script script = parse(GetParam().text);

  EXPECT_EQ(slice(script, body<Delete>(script).where.span), GetParam().where);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, DeleteSlices,
    testing::Values(
        DeleteCase{"DELETE FROM t WHERE a", "a"},
        DeleteCase{"delete from only t where a < 1;", "a < 1"},
        DeleteCase{"DELETE FROM ONLY (t) AS x WHERE (x.a)", "(x.a)"},
        DeleteCase{"DELETE FROM s.t AS x WHERE x.a AND NOT (x.b OR x.c) ;",
                   "x.a AND NOT (x.b OR x.c)"},
        DeleteCase{"DELETE FROM t \"where\" WHERE \"where\".\"where\"",
                   "\"where\".\"where\""},
        DeleteCase{"DELETE FROM t WHERE a IN (1, 2) -- only these\n",
                   "a IN (1, 2)"},
        DeleteCase{"DELETE FROM t WHERE a = ANY ('{1,2}'::int[])",
                   "a = ANY ('{1,2}'::int[])"},
        DeleteCase{"DELETE FROM t WHERE a LIKE 'x!%' ESCAPE '!'",
                   "a LIKE 'x!%' ESCAPE '!'"},
        DeleteCase{"DELETE FROM t WHERE a IS NULL", "a IS NULL"}));

TEST(RenameColumn, HasBothNamesAndTheTable) {
  const Script script = parse(
      "ALTER TABLE IF EXISTS s.t RENAME COLUMN a TO \"B\";"
      "ALTER TABLE t RENAME c TO d");

  EXPECT_EQ(body<RenameColumn>(script).from, "a");
  EXPECT_EQ(body<RenameColumn>(script).to, "B");
  EXPECT_TRUE(body<RenameColumn>(script).if_exists);
  EXPECT_EQ(slice(script, body<RenameColumn>(script).table.span), "s.t");
  EXPECT_EQ(body<RenameColumn>(script, 1).from, "c");
  EXPECT_FALSE(body<RenameColumn>(script, 1).if_exists);
}

TEST(CreateIndex, RecordsNameUniquenessAndTheWordConcurrently) {
  const Script script = parse(
      "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"I\" ON s.t (a);"
      "CREATE INDEX ON ONLY t USING gin (b)");

  const auto& unique = body<CreateIndex>(script);
  EXPECT_EQ(unique.name, "I");
  EXPECT_TRUE(unique.unique);
  EXPECT_TRUE(unique.if_not_exists);
  ASSERT_TRUE(unique.concurrently);
  EXPECT_EQ(slice(script, *unique.concurrently), "CONCURRENTLY");
  EXPECT_EQ(slice(script, unique.table.span), "s.t");
  const auto& plain = body<CreateIndex>(script, 1);
  EXPECT_EQ(plain.name, std::nullopt);
  EXPECT_FALSE(plain.unique);
  EXPECT_FALSE(plain.concurrently);
  EXPECT_TRUE(plain.table.only);
}

TEST(DropIndex, NamesEveryIndex) {
  const Script script = parse(
      "DROP INDEX CONCURRENTLY IF EXISTS a, S.\"b.c\" , /*x*/ d . e CASCADE");

  const auto& drop = body<DropIndex>(script);
  EXPECT_TRUE(drop.if_exists);
  EXPECT_TRUE(drop.concurrently);
  EXPECT_TRUE(drop.cascade);
  ASSERT_EQ(drop.indexes.size(), 3U);
  EXPECT_EQ(drop.indexes[0].name, "a");
  EXPECT_EQ(drop.indexes[0].schema, std::nullopt);
  EXPECT_EQ(drop.indexes[1].schema, "s");
  EXPECT_EQ(drop.indexes[1].name, "b.c");
  EXPECT_EQ(slice(script, drop.indexes[1].span), "S.\"b.c\"");
  EXPECT_EQ(slice(script, drop.indexes[2].span), "d . e");
}

// All of them are unreserved words, which PostgreSQL takes as names.
TEST(DropIndex, TakesNamesThatLookLikeItsOwnWords) {
  const Script script = parse(
      "DROP INDEX if; DROP INDEX cascade; DROP INDEX IF EXISTS exists1, if "
      "RESTRICT");

  EXPECT_EQ(body<DropIndex>(script, 0).indexes.at(0).name, "if");
  EXPECT_EQ(body<DropIndex>(script, 1).indexes.at(0).name, "cascade");
  EXPECT_FALSE(body<DropIndex>(script, 1).cascade);
  EXPECT_EQ(body<DropIndex>(script, 2).indexes.at(1).name, "if");
}

TEST(Script, SplitsStatementsAndTrimsWhatIsBetween) {
  const Script script = parse(
      "\xEF\xBB\xBF-- Größen\n;;\n  UPDATE t SET a = ';' ;  /* ; */\n"
      "\tDELETE FROM u WHERE b -- the end\n ; -- nothing more");

  ASSERT_EQ(script.statements().size(), 2U);
  EXPECT_EQ(slice(script, script.statements()[0].span), "UPDATE t SET a = ';'");
  EXPECT_EQ(script.statements()[0].place, (Place{3, 3}));
  EXPECT_EQ(slice(script, script.statements()[1].span),
            "DELETE FROM u WHERE b");
  EXPECT_EQ(script.statements()[1].place, (Place{4, 2}));
}

TEST(Script, SpeaksOfSeveralTables) {
  const Script script = parse(
      "UPDATE a SET x = 1; DELETE FROM b WHERE y; CREATE INDEX ON c (z);"
      "DROP INDEX i");

  EXPECT_EQ(table_of(script.statements()[0])->name, "a");
  EXPECT_EQ(table_of(script.statements()[1])->name, "b");
  EXPECT_EQ(table_of(script.statements()[2])->name, "c");
  EXPECT_EQ(table_of(script.statements()[3]), nullptr);
}

TEST(Script, StaysReadableThroughACopyWhenTheFirstIsGone) {
  const Script copy = [] {
    const Script first = parse("UPDATE t SET a = b + 1");
    return first;
  }();

  EXPECT_EQ(slice(copy, body<Update>(copy).assignments[0].expression.span),
            "b + 1");
}

TEST(SetVariable, IsReadInAllItsForms) {
  const Script script = parse(
      "SET TimeZone = 'UTC'; SET LOCAL work_mem TO '1MB'; SET TIME ZONE "
      "'UTC'; SET SCHEMA 's'; RESET datestyle; SET a.b TO DEFAULT; RESET ALL;"
      "DELETE FROM t WHERE a");

  const auto set = [&](std::size_t index) {
    return body<SetVariable>(script, index);
  };
  using Kind = SetVariable::Kind;
  EXPECT_EQ(set(0).name, "timezone");
  EXPECT_EQ(set(1).name, "work_mem");
  EXPECT_TRUE(set(1).local);
  EXPECT_FALSE(set(0).local);
  EXPECT_EQ(set(2).name, "timezone");
  EXPECT_EQ(set(3).name, "search_path");
  EXPECT_EQ(set(4).kind, Kind::kReset);
  EXPECT_EQ(set(5).kind, Kind::kReset);
  EXPECT_EQ(set(5).name, "a.b");
  EXPECT_EQ(set(6).kind, Kind::kResetAll);
}

TEST(TransactionMark, BeginsOrEnds) {
  const Script script = parse(
      "BEGIN; START TRANSACTION; COMMIT; END AND CHAIN; DELETE FROM t WHERE a");

  EXPECT_TRUE(body<TransactionMark>(script, 0).begins);
  EXPECT_TRUE(body<TransactionMark>(script, 1).begins);
  EXPECT_FALSE(body<TransactionMark>(script, 2).begins);
  EXPECT_FALSE(body<TransactionMark>(script, 2).chain);
  EXPECT_TRUE(body<TransactionMark>(script, 3).chain);
}

}  // namespace
}  // namespace pgrecast::script
