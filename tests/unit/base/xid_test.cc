#include "pgrecast/base/xid.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdint>

namespace pgrecast {
namespace {

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32U;
constexpr std::uint64_t kTooFar = std::uint64_t{1} << 30U;

std::uint64_t widened(std::uint32_t wire, std::uint64_t reference) {
  return widen_xid(wire, Xid64{reference}).value;
}

std::uint32_t low_bits(std::uint64_t xid) {
  return static_cast<std::uint32_t>(xid);
}

TEST(WidenXidTest, KeepsTheEpochOfANearReference) {
  EXPECT_EQ(widened(1000, 1000), 1000U);
  EXPECT_EQ(widened(990, 1000), 990U);
  EXPECT_EQ(widened(1010, 1000), 1010U);
  EXPECT_EQ(widened(1000, 7 * kEpoch + 1001), 7 * kEpoch + 1000);
}

TEST(WidenXidTest, TakesTheEpochBelowJustAfterAWraparound) {
  EXPECT_EQ(widened(0xFFFFFFFFU, kEpoch + 3), kEpoch - 1);
  EXPECT_EQ(widened(0xFFFFFFF0U, 5 * kEpoch), 5 * kEpoch - 16);
}

TEST(WidenXidTest, TakesTheEpochAboveJustBeforeAWraparound) {
  EXPECT_EQ(widened(3, kEpoch - 1), kEpoch + 3);
  EXPECT_EQ(widened(0, 5 * kEpoch - 1), 5 * kEpoch);
}

TEST(WidenXidTest, AcceptsTheLargestDistanceOnBothSides) {
  const std::uint64_t reference = 3 * kEpoch + 17;

  EXPECT_EQ(widened(low_bits(reference + kTooFar - 1), reference),
            reference + kTooFar - 1);
  EXPECT_EQ(widened(low_bits(reference - kTooFar + 1), reference),
            reference - kTooFar + 1);
}

TEST(WidenXidTest, RefusesADistanceAtWhichTheEpochIsAGuess) {
  const std::uint64_t reference = 3 * kEpoch + 17;

  EXPECT_THROW(widened(low_bits(reference + kTooFar), reference),
               ProtocolError);
  EXPECT_THROW(widened(low_bits(reference - kTooFar), reference),
               ProtocolError);
  EXPECT_THROW(widened(low_bits(reference + kEpoch / 2), reference),
               ProtocolError);
}

// In the first epoch there is none below: 2^32 - 1 would have to come from a
// cluster that is older than itself.
TEST(WidenXidTest, RefusesAnEpochBelowTheFirst) {
  EXPECT_THROW(widened(0xFFFFFFFFU, 3), ProtocolError);
  EXPECT_EQ(widened(0, 3), 0U);
}

RC_GTEST_PROP(WidenXidProperty, FindsEveryXidNearItsReference, ()) {
  const auto reference = *rc::gen::inRange<std::uint64_t>(kTooFar, 8 * kEpoch);
  const auto xid = *rc::gen::inRange<std::uint64_t>(reference - kTooFar + 1,
                                                    reference + kTooFar);

  RC_ASSERT(widened(low_bits(xid), reference) == xid);
}

}  // namespace
}  // namespace pgrecast
