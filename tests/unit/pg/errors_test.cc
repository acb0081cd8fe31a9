#include "pgrecast/pg/errors.h"

#include <gtest/gtest.h>

#include <string>

namespace pgrecast::pg {
namespace {

SqlError error(const std::string& state) {
  return SqlError({.sqlstate = state,
                   .message = "duplicate key",
                   .detail = "Key (id)=(secret) exists.",
                   .hint = "",
                   .constraint = "t_pkey",
                   .statement = "INSERT"});
}

TEST(SqlErrorTest, MessageHasTheStateAndNoValuesOfRows) {
  const std::string what = error("23505").what();

  EXPECT_EQ(what, "duplicate key [23505]");
}

TEST(SqlErrorTest, StateDecidesWhatToDo) {
  for (const char* state : {"40001", "40P01", "55P03"}) {
    EXPECT_EQ(error(state).remedy(), Remedy::kRetryTransaction) << state;
  }
  for (const char* state :
       {"08000", "08006", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04",
        "53100", "53200", "53300"}) {
    EXPECT_EQ(error(state).remedy(), Remedy::kReconnect) << state;
  }
  for (const char* state : {"57014", "23505", "42P01", "XX000", "58030"}) {
    EXPECT_EQ(error(state).remedy(), Remedy::kFail) << state;
  }
}

TEST(SqlErrorTest, OnlyDataAndConstraintsBlameTheRows) {
  EXPECT_TRUE(error("22001").blames_data());
  EXPECT_TRUE(error("23514").blames_data());
  EXPECT_FALSE(error("42501").blames_data());
  EXPECT_FALSE(error("53200").blames_data());
}

}  // namespace
}  // namespace pgrecast::pg
