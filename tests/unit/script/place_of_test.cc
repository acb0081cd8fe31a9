#include "place_of.h"

#include "unit/script/parsed.h"

#include <gtest/gtest.h>

#include <ostream>

namespace pgrecast::script {
namespace {

// A place is written as a bar before the character that is meant.
struct PlaceCase {
  std::string text;
  std::string made;

  friend std::ostream& operator<<(std::ostream& out, const PlaceCase& value) {
    return out << value.made;
  }
};

class PlaceOf : public testing::TestWithParam<PlaceCase> {};

TEST_P(PlaceOf, IsThatOfTheSameWord) {
  std::string text = GetParam().text;
  std::string made = GetParam().made;
  const std::size_t expected = text.find('|');
  const std::size_t offset = made.find('|');
  text.erase(expected, 1);
  made.erase(offset, 1);

  EXPECT_EQ(place_of(text, made, offset), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, PlaceOf,
    testing::Values(
        PlaceCase{"ALTER TABLE t ADD c |nonsense",
                  "ALTER TABLE m.\"T x\" ADD c |nonsense"},
        PlaceCase{"ALTER |TABLE t ADD c int",
                  "ALTER |TABLE m.\"T x\" ADD c int"},
        // What stands for the table is the table.
        PlaceCase{"ALTER TABLE |t ADD c int",
                  "ALTER TABLE |m.\"T x\" ADD c int"},
        PlaceCase{"ALTER TABLE |t ADD c int",
                  "ALTER TABLE m.|\"T x\" ADD c int"},
        // A name that the table has, too.
        PlaceCase{"ALTER TABLE t ADD |t int", "ALTER TABLE m.t ADD |t int"},
        PlaceCase{"CREATE INDEX CONCURRENTLY i ON t (a, |b)",
                  "CREATE INDEX i ON m.t (a, |b)"},
        // Within a word; behind comments, which the texts need not share.
        PlaceCase{"UPDATE t SET a = 'gr\xC3\xBC|n'",
                  "UPDATE m.t SET a = 'gr\xC3\xBC|n'"},
        PlaceCase{"a /* b */ + -- c\n |b", "\"a\" + |b"},
        // Each of several replacements is found again.
        PlaceCase{"t.a + now() + |f(t.b)",
                  "\"a\" +  CAST('now' AS timestamptz)  + |f(\"b\")"},
        PlaceCase{"t.a + |CURRENT_DATE + t.b",
                  "\"a\" + |CAST('x' AS date) + \"b\""},
        // More than there was is the end of what there was.
        PlaceCase{"DROP INDEX |i", "DROP INDEX i |CASCADE"}));

TEST(PlaceOf, IsNoneWhereNothingStands) {
  EXPECT_EQ(place_of("", "a", 0), std::nullopt);
  EXPECT_EQ(place_of("a", "", 0), std::nullopt);
  EXPECT_EQ(place_of("'a", "a", 0), std::nullopt);
  EXPECT_EQ(place_of("a", "  a", 1), std::nullopt);
  EXPECT_EQ(place_of("a", "a  ", 2), std::nullopt);
}

TEST(OffsetOf, CountsTheServersCharacters) {
  const Script script = parse("SET a = 1;\n\tALTER TABLE größe ADD b nönsense");
  const Statement& statement = script.statements().at(1);
  const std::string run = script.with_table_replaced(statement, "m.\"größe\"");
  ASSERT_EQ(run, "ALTER TABLE m.\"größe\" ADD b nönsense");

  const std::size_t offset = script.offset_of(statement.span, run, 29);

  EXPECT_EQ(script.slice({offset, statement.span.end}), "nönsense");
  EXPECT_EQ(script.offset_of(statement.span, run, 0), statement.span.begin);
  EXPECT_EQ(script.offset_of(statement.span, run, 99), statement.span.end);
}

}  // namespace
}  // namespace pgrecast::script
