#include "pgrecast/pg/quote.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgrecast::pg {
namespace {

// What a server makes of these is tested in tests/integration/pg.
TEST(Quote, IdentifiersAreAlwaysQuoted) {
  EXPECT_EQ(quote_identifier("a"), R"("a")");
  EXPECT_EQ(quote_identifier("Select \"x\""), R"("Select ""x""")");
  EXPECT_EQ(quote_qualified("s.1", "t"), R"("s.1"."t")");
}

TEST(Quote, LiteralsDoNotDependOnStandardConformingStrings) {
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_literal("a\\b'"), " E'a\\\\b'''");
  EXPECT_EQ(quote_literal(""), "''");
}

TEST(Quote, ArraysQuoteEveryElement) {
  EXPECT_EQ(array_literal(std::vector<std::string>{}), "{}");
  EXPECT_EQ(array_literal(std::vector<std::string>{"", "NULL", "a\"\\,{"}),
            R"({"","NULL","a\"\\,{"})");
  EXPECT_EQ(array_literal(std::vector<std::string_view>{"x", "y"}),
            R"({"x","y"})");
}

}  // namespace
}  // namespace pgrecast::pg
