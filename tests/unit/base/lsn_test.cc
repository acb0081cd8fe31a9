#include "pgrecast/base/lsn.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <string>

namespace pgrecast {
namespace {

TEST(LsnTest, ParsesWhatTheServerPrints) {
  EXPECT_EQ(Lsn::parse("16/B374D848"), (Lsn{0x16B374D848}));
  EXPECT_EQ(Lsn::parse("0/0"), (Lsn{0}));
  EXPECT_EQ(Lsn::parse("FFFFFFFF/FFFFFFFF"),
            (Lsn{std::numeric_limits<std::uint64_t>::max()}));
}

TEST(LsnTest, ParsesLowerCaseAndLeadingZeros) {
  EXPECT_EQ(Lsn::parse("00000016/0b374d84"), (Lsn{0x160B374D84}));
}

TEST(LsnTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "/", "0", "0/", "/0", "0/0/0", "0/0 ", " 0/0", "g/0", "-1/0",
        "+1/0", "0x1/0", "123456789/0", "0/123456789"}) {
    EXPECT_EQ(Lsn::parse(text), std::nullopt) << "'" << text << "'";
  }
}

TEST(LsnTest, PrintsAsTheServerDoes) {
  EXPECT_EQ((Lsn{0x16B374D848}).to_string(), "16/B374D848");
  EXPECT_EQ((Lsn{0x1600000001}).to_string(), "16/1");
  EXPECT_EQ(Lsn{}.to_string(), "0/0");
}

TEST(LsnTest, OrdersByPositionAndNotByText) {
  EXPECT_LT(Lsn::parse("9/FFFFFFFF"), Lsn::parse("10/0"));
  EXPECT_LT(Lsn::parse("0/9"), Lsn::parse("0/10"));
}

RC_GTEST_PROP(LsnProperty, PrintedPositionParsesToItself,
              (std::uint64_t value)) {
  const auto parsed = Lsn::parse(Lsn{value}.to_string());
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->value == value);
}

}  // namespace
}  // namespace pgrecast
