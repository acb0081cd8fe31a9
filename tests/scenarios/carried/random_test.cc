// Random databases from seeds: the same in every run. tools/soak tries others.

#include "scenarios/carried/random_exchange.h"
#include "support/test_database.h"

namespace pgrecast::test {
namespace {

TEST(RandomExchangeTest, MakesOfARandomDatabaseWhatItsScriptMakesByHand) {
  // Some 1.5 s of processor time each.
  int compared = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const RandomOutcome outcome = expect_as_by_hand(SharedCluster::get(), seed);
    if (outcome == RandomOutcome::kCompared) ++compared;
  }
  EXPECT_GE(compared, 3) << "the generator makes too much that is refused";
}

}  // namespace
}  // namespace pgrecast::test
