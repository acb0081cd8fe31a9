#include "pgrecast/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pgrecast {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(LogTest, WritesEachLineAboveTheLastOne) {
  testing::internal::CaptureStderr();
  log::set_last_line("bar 50%");
  log::info("copy", "chunk copied", "rows={}", 7);
  log::set_last_line("bar 60%");
  log::set_last_line("");
  const std::string written = testing::internal::GetCapturedStderr();

  // Drawn over the old one before the rest is erased: nothing flickers.
  EXPECT_THAT(written, StartsWith("\rbar 50%\x1b[K\r\x1b[K"));
  EXPECT_THAT(written,
              HasSubstr("chunk copied rows=7\nbar 50%\rbar 60%\x1b[K"));
  EXPECT_THAT(written, EndsWith("\r\x1b[K"));
}

TEST(LogTest, DrawsALastLineOnceWhileItStaysTheSame) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 10; ++i) log::set_last_line("bar 50%");
  log::set_last_line("");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "\rbar 50%\x1b[K\r\x1b[K");
}

TEST(LogTest, WritesNoControlCharactersWithoutALastLine) {
  testing::internal::CaptureStderr();
  log::info("copy", "chunk copied", "rows={}", 7);
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, EndsWith("copy      chunk copied rows=7\n"));
  EXPECT_THAT(written, Not(HasSubstr("\r")));
}

}  // namespace
}  // namespace pgrecast
