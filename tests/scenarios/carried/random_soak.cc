// Random databases from the seed in PGRECAST_RANDOM_SEED, as many as
// PGRECAST_RANDOM_COUNT says: tools/soak.

#include "scenarios/carried/random_exchange.h"
#include "support/test_database.h"

#include <cstdlib>
#include <string>

namespace pgrecast::test {
namespace {

std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? otherwise : std::stoull(text);
}

TEST(RandomExchangeSoak, MakesOfARandomDatabaseWhatItsScriptMakesByHand) {
  const std::uint64_t first = number("PGRECAST_RANDOM_SEED", 1);
  const std::uint64_t count = number("PGRECAST_RANDOM_COUNT", 10);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    expect_as_by_hand(SharedCluster::get(), seed);
  }
}

}  // namespace
}  // namespace pgrecast::test
