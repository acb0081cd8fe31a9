#include "pgrecast/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
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

// In a process of its own: the format is everybody's.
TEST(LogTest, WritesJsonWhateverBytesAValueHas) {
  EXPECT_EXIT(
      {
        log::configure(log::Level::kInfo, log::Format::kJson);
        log::info("copy", "rows rejected", "key={}", "caf\xe9\t\"");
        std::exit(0);  // NOLINT(concurrency-mt-unsafe): one thread
      },
      testing::ExitedWithCode(0),
      HasSubstr("\"event\":\"rows rejected\",\"values\":\"key=caf\xef\xbf\xbd"
                "\\t\\\"\"}"));
}

}  // namespace
}  // namespace pgrecast
