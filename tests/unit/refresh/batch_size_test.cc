#include "pgrecast/refresh/key_batch.h"

#include <gtest/gtest.h>

namespace pgrecast::refresh {
namespace {

constexpr std::size_t kMax = 20000;

// What a batch is sized for that takes `per_key` microseconds a key.
std::size_t size_after(std::int64_t per_key, int batches) {
  BatchSize size(kMax);
  for (int i = 0; i < batches; ++i) {
    const auto keys = static_cast<std::int64_t>(size.keys());
    size.took(size.keys(), milliseconds(keys * per_key / 1000));
  }
  return size.keys();
}

TEST(BatchSizeTest, BeginsSmallAndIsNeverMoreThanItMayBe) {
  EXPECT_EQ(BatchSize(kMax).keys(), BatchSize::kAtFirst);
  EXPECT_EQ(BatchSize(20).keys(), 20U);
  EXPECT_EQ(size_after(0, 100), kMax);
}

TEST(BatchSizeTest, BecomesWhatTakesHalfASecond) {
  EXPECT_NEAR(static_cast<double>(size_after(100, 20)), 5000, 100);
  EXPECT_NEAR(static_cast<double>(size_after(10000, 20)), 50, 2);
}

TEST(BatchSizeTest, DoublesAtMost) {
  BatchSize size(kMax);
  size.took(size.keys(), milliseconds(0));
  EXPECT_EQ(size.keys(), 2 * BatchSize::kAtFirst);
}

// Documents of megabytes behind rows of bytes.
TEST(BatchSizeTest, ShrinksWhereItTookTooLongDownToOneKey) {
  BatchSize size(kMax);
  size.took_too_long();
  EXPECT_EQ(size.keys(), BatchSize::kAtFirst / 8);
  for (int i = 0; i < 10; ++i) size.took_too_long();
  EXPECT_EQ(size.keys(), 1U);
  size.took(1, milliseconds(100000));
  EXPECT_EQ(size.keys(), 1U);
}

TEST(BatchSizeTest, IsNotToldByAShortBatchThatWasQuick) {
  BatchSize size(kMax);
  size.took(3, milliseconds(1));
  EXPECT_EQ(size.keys(), BatchSize::kAtFirst);
}

}  // namespace
}  // namespace pgrecast::refresh
