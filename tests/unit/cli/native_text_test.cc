#include "pgrecast/cli/native_text.h"

#include "pgrecast/cli/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace pgrecast::cli {
namespace {

using plan::Effect;
using plan::NativeStep;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

NativeStep step(int line, Effect effect) {
  return {.line = line,
          .effect = effect,
          .lock = "ACCESS EXCLUSIVE",
          .object = "public.orders",
          .instead = {}};
}

TEST(NativeText, SaysNothingOfWhatOnlyAMigrationDoes) {
  EXPECT_EQ(native_text({}), "");
  EXPECT_EQ(native_text({step(1, Effect::kRewrites)}), "");
  EXPECT_EQ(
      native_text({step(1, Effect::kMakesAnew), step(2, Effect::kChangesRows)}),
      "");
}

TEST(NativeText, SaysThatNoMigrationIsNeeded) {
  NativeStep index = step(12, Effect::kBuildsIndexes);
  index.instead = "CREATE INDEX CONCURRENTLY, in no transaction";
  EXPECT_EQ(native_text({step(3, Effect::kCatalogs), index}),
            "\nNo migration is needed\n"
            "  The server does this script by itself, without a rewrite: run "
            "it by hand, with\n"
            "  a lock_timeout, statement by statement:\n"
            "  line 3    ACCESS EXCLUSIVE on public.orders: changes catalogs "
            "only\n"
            "  line 12   ACCESS EXCLUSIVE on public.orders: builds indexes\n"
            "            better: CREATE INDEX CONCURRENTLY, in no "
            "transaction\n");
}

TEST(NativeText, TellsThePartsOfAScriptApart) {
  const std::string text =
      native_text({step(1, Effect::kCatalogs), step(2, Effect::kRewrites),
                   step(2, Effect::kRewrites), step(5, Effect::kReadsRows),
                   step(7, Effect::kChangesRows)});
  EXPECT_THAT(text,
              AllOf(HasSubstr("Only lines 2, 7 need a migration"),
                    HasSubstr("  line 1 "), HasSubstr("  line 5 "),
                    Not(HasSubstr("  line 2 ")), Not(HasSubstr("  line 7 "))));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), kColumns) << line;
  }
}

}  // namespace
}  // namespace pgrecast::cli
