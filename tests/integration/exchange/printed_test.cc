#include "pgrecast/exchange/printed.h"

#include <gtest/gtest.h>

namespace pgrecast::exchange {
namespace {

TEST(WithoutCastsTest, LeavesOutCastsOfEveryFormAndBrackets) {
  EXPECT_EQ(without_casts("((amount % (50)::bigint) = 0)"),
            without_casts("((amount % 50) = 0)"));
  EXPECT_EQ(without_casts("((v)::text = 'x'::text)"), "v = 'x'");
  EXPECT_EQ(without_casts("(a)::double precision < (b)::numeric(10,2)"),
            "a < b");
  EXPECT_EQ(without_casts("(a)::character varying(5)[] = b"), "a = b");
  EXPECT_EQ(without_casts("a::timestamp(3) without time zone > b"), "a > b");
  EXPECT_EQ(without_casts(R"(a::public."My ""type""" > b)"), "a > b");
}

TEST(WithoutCastsTest, KeepsWhatMeansSomethingElse) {
  EXPECT_NE(without_casts("(a > 5)"), without_casts("(a > 6)"));
  EXPECT_NE(without_casts("(a > b)"), without_casts("(a >= b)"));
  // Within literals and quoted names nothing is a cast or a bracket.
  EXPECT_EQ(without_casts("f('it''s (a)::text') = \"(x)::y\""),
            "f'it''s (a)::text' = \"(x)::y\"");
  EXPECT_EQ(without_casts("a::text = 'open"), "a = 'open");
}

}  // namespace
}  // namespace pgrecast::exchange
