#include "pgrecast/cli/size.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

namespace pgrecast::cli {
namespace {

TEST(SizeTest, UnitsArePowersOf1024AsInPostgresqlsSettings) {
  EXPECT_EQ(bytes_of("0"), 0);
  EXPECT_EQ(bytes_of("1500"), 1500);
  EXPECT_EQ(bytes_of("2kB"), 2048);
  EXPECT_EQ(bytes_of("500MB"), 524288000);
  EXPECT_EQ(bytes_of("10GB"), 10737418240);
  EXPECT_EQ(bytes_of("1.5TB"), 1649267441664);
}

TEST(SizeTest, AnythingElseIsRefused) {
  for (const char* text :
       {"", "much", "-5GB", "+5GB", " 5GB", "5 GB", "5gb", "5GBs", "inf", "nan",
        "0x10", "1e3", ".", "GB", "1.2.3GB", "99999999TB",
        "99999999999999999999999999999999999999999"}) {
    EXPECT_THROW(bytes_of(text), UsageError) << text;
  }
}

}  // namespace
}  // namespace pgrecast::cli
