#include "pgrecast/base/snapshot.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <set>

namespace pgrecast {
namespace {

TEST(SnapshotTest, SeesWhatIsBelowXmaxAndNotInProgress) {
  const Snapshot snapshot = Snapshot::parse("10:20:10,14,15");

  EXPECT_EQ(snapshot.xmin(), Xid64{10});
  EXPECT_EQ(snapshot.xmax(), Xid64{20});
  EXPECT_TRUE(snapshot.sees(Xid64{9}));
  EXPECT_FALSE(snapshot.sees(Xid64{10}));
  EXPECT_TRUE(snapshot.sees(Xid64{11}));
  EXPECT_FALSE(snapshot.sees(Xid64{14}));
  EXPECT_FALSE(snapshot.sees(Xid64{15}));
  EXPECT_TRUE(snapshot.sees(Xid64{19}));
}

TEST(SnapshotTest, DoesNotSeeXmaxOrAnythingAbove) {
  const Snapshot snapshot = Snapshot::parse("10:20:");

  EXPECT_TRUE(snapshot.sees(Xid64{19}));
  EXPECT_FALSE(snapshot.sees(Xid64{20}));
  EXPECT_FALSE(snapshot.sees(Xid64{21}));
}

TEST(SnapshotTest, TellsTheEpochsApart) {
  const Snapshot snapshot = Snapshot::parse("4294967306:4294967316:4294967310");

  EXPECT_TRUE(snapshot.sees(Xid64{14}));
  EXPECT_FALSE(snapshot.sees(Xid64{4294967310}));
  EXPECT_TRUE(snapshot.sees(Xid64{4294967311}));
}

TEST(SnapshotTest, FindsTransactionsThatAreListedOutOfOrder) {
  const Snapshot snapshot = Snapshot::parse("1:10:8,3,5");

  EXPECT_FALSE(snapshot.sees(Xid64{3}));
  EXPECT_FALSE(snapshot.sees(Xid64{5}));
  EXPECT_FALSE(snapshot.sees(Xid64{8}));
  EXPECT_TRUE(snapshot.sees(Xid64{4}));
}

TEST(SnapshotTest, RefusesWhatIsNoSnapshot) {
  for (const char* text :
       {"", "1", "1:2", "1:2:3:4", ":2:", "1::", "a:2:", "1:b:", "1:2:c",
        "1:2:3,,4", "1:2:,", "-1:2:", " 1:2:", "1:2: 3",
        "18446744073709551616:2:"}) {
    EXPECT_THROW(Snapshot::parse(text), ProtocolError) << "'" << text << "'";
  }
}

RC_GTEST_PROP(SnapshotProperty, SeesExactlyTheTransactionsThatEnded, ()) {
  const auto xmin = *rc::gen::inRange<std::uint64_t>(3, 1ULL << 34U);
  const auto running = *rc::gen::container<std::set<std::uint64_t>>(
      rc::gen::inRange<std::uint64_t>(xmin, xmin + 50));
  const std::uint64_t xmax = xmin + 50;

  const Snapshot snapshot = Snapshot::parse(
      fmt::format("{}:{}:{}", xmin, xmax, fmt::join(running, ",")));

  for (std::uint64_t xid = xmin - 3; xid < xmax + 3; ++xid) {
    const bool ended = xid < xmax && !running.contains(xid);
    RC_ASSERT(snapshot.sees(Xid64{xid}) == ended);
  }
}

}  // namespace
}  // namespace pgrecast
