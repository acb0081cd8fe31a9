#include "pgrecast/migration/retained_limit.h"

#include <gtest/gtest.h>

namespace pgrecast::migration {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kLimit = 1000;

class RetainedLimitTest : public ::testing::Test {
 protected:
  // A look, so many seconds after the first one.
  void look(int second, std::int64_t bytes) {
    limit_.look(bytes, begin_ + seconds(second));
  }

 private:
  RetainedLimit limit_{kLimit};
  Clock::time_point begin_ = Clock::now();
};

TEST_F(RetainedLimitTest, UpToTheLimitNothingHappens) {
  for (int second = 0; second < 100; ++second) look(second, kLimit);
}

TEST_F(RetainedLimitTest, HalfAMinuteBeyondItIsTooLong) {
  look(0, kLimit + 1);
  look(29, kLimit + 9);
  EXPECT_THROW(look(30, kLimit + 9), RetainedTooMuch);
}

TEST_F(RetainedLimitTest, WhoeverWasBelowItMeanwhileBeginsAnew) {
  look(0, kLimit + 1);
  look(20, kLimit);
  look(21, kLimit + 1);
  look(50, kLimit + 1);
  EXPECT_THROW(look(51, kLimit + 1), RetainedTooMuch);
}

TEST_F(RetainedLimitTest, AStreamThatCatchesUpIsLetBe) {
  std::int64_t bytes = 100 * kLimit;
  for (int second = 0; second < 200; second += 15, bytes -= 10) {
    look(second, bytes);
  }
}

// What goes up and down keeps as much as before.
TEST_F(RetainedLimitTest, WhatSwingsAboveItIsTooMuch) {
  look(0, 2 * kLimit);
  look(10, 3 * kLimit);
  look(20, 2 * kLimit);
  EXPECT_THROW(look(30, 2 * kLimit), RetainedTooMuch);
}

}  // namespace
}  // namespace pgrecast::migration
