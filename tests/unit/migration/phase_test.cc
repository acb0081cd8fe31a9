#include "pgrecast/migration/phase.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace pgrecast::migration {
namespace {

TEST(PhaseTest, NamesAreKeptInDatabasesAndNeverChange) {
  const std::pair<Phase, std::string_view> names[] = {
      {Phase::kPreparing, "preparing"},
      {Phase::kCopying, "copying"},
      {Phase::kSettling, "settling"},
      {Phase::kIndexing, "indexing"},
      {Phase::kCatchingUp, "catching_up"},
      {Phase::kVerifying, "verifying"},
      {Phase::kReady, "ready"},
      {Phase::kExchanged, "exchanged"},
      {Phase::kDone, "done"}};
  for (const auto& [phase, name] : names) {
    EXPECT_EQ(name_of(phase), name);
    EXPECT_EQ(phase_named(name), phase);
  }
  EXPECT_THROW(phase_named("of a newer version"), ProtocolError);
}

}  // namespace
}  // namespace pgrecast::migration
