#include "pgrecast/base/deadline.h"

#include <gtest/gtest.h>

namespace pgrecast {
namespace {

using std::chrono::hours;

TEST(DeadlineTest, PassesWhenItsTimeHasCome) {
  EXPECT_TRUE(Deadline::in(milliseconds(0)).passed());
  EXPECT_FALSE(Deadline::in(hours(1)).passed());
  EXPECT_FALSE(Deadline::never().passed());
}

TEST(DeadlineTest, LeftIsNeverNegative) {
  EXPECT_EQ(Deadline::in(-hours(1)).left(), milliseconds(0));
}

TEST(DeadlineTest, LeftFitsIntoAnIntOfMilliseconds) {
  EXPECT_EQ(Deadline::never().left(), hours(24));
  EXPECT_EQ(Deadline::in(hours(1000)).left(), hours(24));
}

// Rounded down, a wait of the last fraction of a millisecond would spin.
TEST(DeadlineTest, LeftIsZeroOnlyWhenItHasPassed) {
  const Deadline deadline = Deadline::in(std::chrono::microseconds(300));
  while (!deadline.passed()) {
    const bool zero_before = deadline.left() == milliseconds(0);
    EXPECT_TRUE(!zero_before || deadline.passed());
  }
  EXPECT_EQ(deadline.left(), milliseconds(0));
}

TEST(DeadlineTest, EarlierTakesTheNearerOne) {
  const Deadline soon = Deadline::in(hours(1));
  const Deadline late = Deadline::in(hours(2));

  EXPECT_EQ(soon.earlier(late).at(), soon.at());
  EXPECT_EQ(late.earlier(soon).at(), soon.at());
  EXPECT_EQ(soon.earlier(Deadline::never()).at(), soon.at());
}

}  // namespace
}  // namespace pgrecast
