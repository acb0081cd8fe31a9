#pragma once

#include "support/pg_cluster.h"

#include <cstdint>

namespace pgrecast::test {

// Makes the random database of a seed on `cluster`, and expects the exchange to
// make of it what its script makes by hand; or a refusal that is in the manual,
// and of a kind that is known where the server would do it. Where that fails,
// the fewest statements are told with which it still does (half a minute), and
// the seed.
enum class RandomOutcome { kCompared, kRefused, kNotByHand, kFailed };
RandomOutcome expect_as_by_hand(PgCluster& cluster, std::uint64_t seed);

}  // namespace pgrecast::test
