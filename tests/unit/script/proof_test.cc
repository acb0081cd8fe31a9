#include "pgrecast/script/script_error.h"

#include "postgres_parser.h"
#include "statement_reader.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pgrecast::script {
namespace {

// A statement with its tokens and the tree of its first assignment.
struct Assigned {
  SourceText source;
  StatementReader reader;
  Tree expression;

  explicit Assigned(const std::string& text)
      : source(text, "test.sql"),
        reader(source, {0, text.size()}, scan_sql(text).value()),
        expression(
            std::get<Tree>(parse_sql(text))
                .at("/stmts/0/stmt/UpdateStmt/targetList/0/ResTarget/val"_json_pointer)) {
  }

  // Every run of tokens that passes for the expression.
  std::set<std::string> proved() const {
    std::set<std::string> result;
    for (std::size_t begin = 0; begin < reader.end(); ++begin) {
      for (std::size_t end = begin + 1; end <= reader.end(); ++end) {
        const Span span = reader.span_of(begin, end);
        if (reader.is_expression(span, expression)) {
          result.emplace(source.slice(span));
        }
      }
    }
    return result;
  }
};

using Slices = std::set<std::string>;

// Of all slices of the whole statement, not only of the likely ones.
TEST(Proof, AcceptsNoSliceButTheExpression) {
  EXPECT_EQ(Assigned("UPDATE t SET a = b + 1, c = b + 2 WHERE b + 1 > 0 AND b")
                .proved(),
            Slices{"b + 1"});
  EXPECT_EQ(Assigned("UPDATE t SET a = -1, b = - 2 WHERE c = -3").proved(),
            (Slices{"-1", "- 2", "-3"}))
      << "negative integers look alike in the tree: only whole tokens differ";
  EXPECT_EQ(Assigned("UPDATE t SET a = b AND c AND d WHERE e").proved(),
            Slices{"b AND c AND d"});
  EXPECT_EQ(Assigned("UPDATE t SET a = f(b, c), d = 1").proved(),
            Slices{"f(b, c)"});
  EXPECT_EQ(Assigned("UPDATE t SET a = b BETWEEN 1 AND 2 AND c").proved(),
            Slices{"b BETWEEN 1 AND 2 AND c"});
  EXPECT_EQ(Assigned("UPDATE t SET a = b::int[] WHERE c").proved(),
            Slices{"b::int[]"});
  EXPECT_EQ(Assigned("UPDATE t SET a = 'x'\n'y' WHERE 'x'").proved(),
            Slices{"'x'\n'y'"});
}

TEST(Proof, TakesParenthesesThatChangeNothing) {
  EXPECT_EQ(Assigned("UPDATE t SET a = ((b))").proved(),
            (Slices{"b", "(b)", "((b))"}));
}

TEST(Proof, RefusesTheStatementForAWrongSlice) {
  const Assigned assigned("UPDATE t SET a = b + 1 * 2");
  const std::size_t first = 5;

  EXPECT_NO_THROW(assigned.reader.prove_expression(
      assigned.reader.span_of(first, assigned.reader.end()),
      assigned.expression));
  EXPECT_THROW(assigned.reader.prove_expression(
                   assigned.reader.span_of(first, assigned.reader.end() - 2),
                   assigned.expression),
               ScriptError);
}

TEST(Scan, CoversTheTextButForWhiteSpace) {
  const std::string text =
      "a U&\"b\"\"c\" U&'d''e'\n 'f' /* g /* h */ */ $i$ j $i$ k-- l\n E'\\'' ";

  const auto tokens = scan_sql(text);

  ASSERT_TRUE(tokens);
  std::vector<std::string> texts;
  for (const Token& token : *tokens) {
    texts.push_back(text.substr(token.span.begin, token.span.size()));
  }
  EXPECT_EQ(texts, (std::vector<std::string>{
                       "a", "U&\"b\"\"c\"", "U&'d''e'\n 'f'", "/* g /* h */ */",
                       "$i$ j $i$", "k", "-- l", "E'\\''"}));
}

TEST(Scan, SaysWhatIsAKeyword) {
  const std::string text = "where \"where\" x -- where";
  const auto tokens = scan_sql(text).value();

  ASSERT_EQ(tokens.size(), 4U);
  EXPECT_EQ(tokens[0].kind, Token::Kind::kKeyword);
  EXPECT_EQ(tokens[1].kind, Token::Kind::kWord);
  EXPECT_EQ(tokens[2].kind, Token::Kind::kWord);
  EXPECT_EQ(tokens[3].kind, Token::Kind::kComment);
}

TEST(Scan, HasNoAnswerForATextThatEndsInsideAString) {
  for (const char* text : {"'a", "\"a", "/* a", "$$ a", "E'a\\'"}) {
    EXPECT_FALSE(scan_sql(text)) << text;
  }
}

}  // namespace
}  // namespace pgrecast::script
