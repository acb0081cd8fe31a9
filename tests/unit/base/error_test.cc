#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <vector>

namespace pgrecast {
namespace {

TEST(RefusedTest, NamesEveryReasonWithItsRemedy) {
  const Refused refused(std::vector<Refusal>{
      {.what = "table a has no key", .remedy = "add one"},
      {.what = "table b is foreign", .remedy = "leave it"}});

  EXPECT_STREQ(refused.what(),
               "table a has no key\n  remedy: add one\n"
               "table b is foreign\n  remedy: leave it");
  EXPECT_EQ(refused.refusals().size(), 2U);
  EXPECT_EQ(refused.remedy(), Remedy::kFail);
}

TEST(RefusedTest, TakesASingleReason) {
  const Refused refused("table a has no key", "add one");

  ASSERT_EQ(refused.refusals().size(), 1U);
  EXPECT_EQ(refused.refusals().front().what, "table a has no key");
  EXPECT_EQ(refused.refusals().front().remedy, "add one");
}

TEST(ErrorTest, TellsWhatToDo) {
  EXPECT_EQ(ProtocolError("x").remedy(), Remedy::kFail);
  EXPECT_EQ(TimedOut("x").remedy(), Remedy::kRetryTransaction);
}

// Whoever handles errors must not take a stop request for one.
TEST(ErrorTest, StopRequestIsNoError) {
  EXPECT_THROW(
      {
        try {
          throw Stopped();
        } catch (const Error&) {
          ADD_FAILURE() << "a stop request was caught as an error";
        }
      },
      Stopped);
}

}  // namespace
}  // namespace pgrecast
