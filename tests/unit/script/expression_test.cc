#include "unit/script/parsed.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pgrecast::script {
namespace {

// Of `UPDATE s.t SET x = <expression>`.
struct Facts {
  Script script;
  const ExpressionFacts& of =
      body<Update>(script).assignments.at(0).expression.facts;

  explicit Facts(const std::string& expression)
      : script(parse("UPDATE s.t SET x = " + expression)) {}
};

TEST(ExpressionFacts, NameEveryColumnWhereItStands) {
  const Facts facts("a + t.\"B c\" * coalesce(größe, a)");

  ASSERT_EQ(facts.of.columns.size(), 4U);
  EXPECT_EQ(facts.of.columns[0].name, "a");
  EXPECT_EQ(facts.of.columns[0].qualifier, std::nullopt);
  EXPECT_EQ(facts.of.columns[1].qualifier, "t");
  EXPECT_EQ(facts.of.columns[1].name, "B c");
  EXPECT_EQ(slice(facts.script, facts.of.columns[1].span), "t.\"B c\"");
  EXPECT_EQ(slice(facts.script, facts.of.columns[2].span), "größe");
  EXPECT_EQ(slice(facts.script, facts.of.columns[3].span), "a");
  EXPECT_LT(facts.of.columns[0].span, facts.of.columns[3].span);
}

TEST(ExpressionFacts, NameFunctionsWithTheirCalls) {
  const Facts facts(
      "f(pg_catalog.now ( ), s.\"G\"(1)) || extract(year FROM d)");

  const auto& functions = facts.of.functions;
  ASSERT_EQ(functions.size(), 4U);
  EXPECT_EQ(functions[0].function, (QualifiedName{std::nullopt, "f"}));
  EXPECT_EQ(slice(facts.script, functions[0].call.value()),
            "f(pg_catalog.now ( ), s.\"G\"(1))");
  EXPECT_EQ(functions[1].function, (QualifiedName{"pg_catalog", "now"}));
  EXPECT_EQ(slice(facts.script, functions[1].call.value()),
            "pg_catalog.now ( )");
  EXPECT_EQ(functions[2].function, (QualifiedName{"s", "G"}));
  EXPECT_EQ(functions[3].function, (QualifiedName{"pg_catalog", "extract"}));
  EXPECT_EQ(slice(facts.script, functions[3].call.value()),
            "extract(year FROM d)");
}

// They hide a function behind an operator's form; the call has no parentheses
// that could be cut.
TEST(ExpressionFacts, NameFunctionsThatAreWrittenAsOperators) {
  const Facts facts("(a AT TIME ZONE 'UTC')::text SIMILAR TO b");

  ASSERT_EQ(facts.of.functions.size(), 2U);
  EXPECT_EQ(facts.of.functions[0].function.name, "timezone");
  EXPECT_EQ(facts.of.functions[1].function.name, "similar_to_escape");
  EXPECT_EQ(facts.of.functions[0].call, std::nullopt);
  EXPECT_EQ(facts.of.functions[1].call, std::nullopt);
}

TEST(ExpressionFacts, NameTheValuesOfTheMomentWithTheirPrecision) {
  const Facts facts("f(current_timestamp, LOCALTIME (2), Current_User)");

  const auto& values = facts.of.sql_values;
  ASSERT_EQ(values.size(), 3U);
  EXPECT_EQ(values[0].keyword, "CURRENT_TIMESTAMP");
  EXPECT_EQ(values[1].keyword, "LOCALTIME");
  EXPECT_EQ(slice(facts.script, values[1].span), "LOCALTIME (2)");
  EXPECT_EQ(values[2].keyword, "CURRENT_USER");
  EXPECT_EQ(slice(facts.script, values[2].span), "Current_User");
}

TEST(ExpressionFacts, NameOperatorsFieldsAndCasts) {
  const Facts facts(
      "((a).f OPERATOR(s.+) 1) IN (2) OR b BETWEEN c AND d OR e = 1 OR g = 2");

  const auto& operators = facts.of.operators;
  const auto names = [&](const QualifiedName& name) {
    return std::count(operators.begin(), operators.end(), name);
  };
  EXPECT_EQ(names({"s", "+"}), 1);
  EXPECT_EQ(names({std::nullopt, "="}), 1);
  EXPECT_EQ(names({std::nullopt, ">="}), 1);
  EXPECT_EQ(names({std::nullopt, "<="}), 1);
  EXPECT_EQ(facts.of.fields, std::vector<std::string>{"f"});
  EXPECT_FALSE(facts.of.has_cast);
  EXPECT_TRUE(Facts("a::text").of.has_cast);
}

TEST(ExpressionFacts, KnowTheWordsThatMeanAnotherDateEachDay) {
  EXPECT_TRUE(Facts("' Today '::date").of.has_date_word);
  EXPECT_TRUE(Facts("CASE WHEN a < 'now' THEN 1 END").of.has_date_word);
  EXPECT_TRUE(Facts("'today 10:00'").of.has_date_word);
  EXPECT_TRUE(Facts("'[now,infinity)'").of.has_date_word);
  EXPECT_TRUE(Facts("'{2020-01-01,TOMORROW}'").of.has_date_word);
  EXPECT_TRUE(Facts("'now'").of.is_constant);
  EXPECT_FALSE(Facts("'now' || a").of.is_constant);
  EXPECT_FALSE(Facts("'nowhere'").of.has_date_word);
  EXPECT_FALSE(Facts("''").of.has_date_word);
}

TEST(ExpressionFacts, AreEmptyForAConstant) {
  const Facts facts("1");

  EXPECT_TRUE(facts.of.columns.empty());
  EXPECT_TRUE(facts.of.functions.empty());
  EXPECT_TRUE(facts.of.sql_values.empty());
  EXPECT_TRUE(facts.of.operators.empty());
}

TEST(ExpressionFacts, AreCollectedFromWhereAndUsingAndDefaults) {
  const Script script = parse(
      "DELETE FROM t WHERE f(a);"
      "ALTER TABLE t ALTER a TYPE int USING g(a), ADD b int DEFAULT h(),"
      " ALTER c SET DEFAULT i()");

  const auto& alter = body<AlterTable>(script, 1);
  EXPECT_EQ(body<Delete>(script).where.facts.functions.at(0).function.name,
            "f");
  EXPECT_EQ(alter.type_changes[0]
                .using_expression->facts.functions.at(0)
                .function.name,
            "g");
  EXPECT_EQ(
      alter.added[0].default_expression->facts.functions.at(0).function.name,
      "h");
  EXPECT_EQ(alter.defaults[0].expression->facts.functions.at(0).function.name,
            "i");
}

TEST(SliceWith, ReplacesWithinAnExpression) {
  const Script script = parse("UPDATE t SET a = b + now() - f(now())");
  const auto& expression = body<Update>(script).assignments[0].expression;
  std::vector<Replacement> replacements;
  for (const FunctionUse& use : expression.facts.functions) {
    if (use.function.name == "now") replacements.push_back({*use.call, "'x'"});
  }

  EXPECT_EQ(script.slice_with(expression.span, replacements),
            "b + 'x' - f('x')");
  std::reverse(replacements.begin(), replacements.end());
  EXPECT_EQ(script.slice_with(expression.span, replacements),
            "b + 'x' - f('x')");
}

}  // namespace
}  // namespace pgrecast::script
