#include "pgrecast/cli/lines.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace pgrecast::cli {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(ShortCount, HasFourCharactersAndAUnitAtMost) {
  EXPECT_EQ(short_count(0), "0");
  EXPECT_EQ(short_count(7), "7");
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(1000), "1.0k");
  EXPECT_EQ(short_count(99949), "99.9k");
  EXPECT_EQ(short_count(99951), "100k");
  EXPECT_EQ(short_count(1234567), "1.2M");
  EXPECT_EQ(short_count(2500000000), "2.5G");
  EXPECT_EQ(short_count(3e15), "3000T");
}

TEST(ShortCount, IsNeverRoundedUpToAThousandOfAUnit) {
  // 999,950 once read "1000.0k".
  EXPECT_EQ(short_count(999949), "1.0M");
  EXPECT_EQ(short_count(999999), "1.0M");
  EXPECT_EQ(short_count(999499), "999k");
  EXPECT_EQ(short_count(999.7), "1.0k");
}

TEST(ShortSize, CountsBy1024) {
  EXPECT_EQ(short_size(0), "0B");
  EXPECT_EQ(short_size(1023), "1023B");
  EXPECT_EQ(short_size(1024), "1.0kB");
  EXPECT_EQ(short_size(1.5 * 1024 * 1024 * 1024), "1.5GB");
}

TEST(ShortDuration, IsRoundedToSecondsAndThenToMinutes) {
  EXPECT_EQ(short_duration(0.4), "0s");
  EXPECT_EQ(short_duration(59.4), "59s");
  EXPECT_EQ(short_duration(59.6), "1m00s");
  EXPECT_EQ(short_duration(3599), "59m59s");
  EXPECT_EQ(short_duration(7500), "2h05m");
  EXPECT_EQ(short_duration(-3), "0s");
}

TEST(Wrapped, LeavesAShortLineAsItIs) {
  EXPECT_EQ(wrapped("  slot  ", "pgrecast_orders"),
            "  slot  pgrecast_orders\n");
  EXPECT_EQ(wrapped("  slot  ", ""), "  slot  \n");
}

TEST(Wrapped, BreaksAtSpacesAndIndentsWhatFollows) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "word" + std::to_string(i) + " ";
  const auto lines = lines_of(wrapped("warning: ", text));
  ASSERT_GT(lines.size(), 3U);
  std::string again;
  for (const std::string& line : lines) {
    EXPECT_LE(line.size(), kColumns) << line;
    if (&line != &lines.back()) {
      EXPECT_GT(line.size(), kColumns - 8) << line << " is broken too early";
    }
    if (&line != &lines.front()) {
      EXPECT_EQ(line.substr(0, 9), "         ");
    }
    again += line.substr(9) + " ";
  }
  EXPECT_EQ(again, text);
}

TEST(Wrapped, FillsALineToItsLastColumn) {
  const std::string full(kColumns - 4, 'x');
  EXPECT_EQ(wrapped("ab ", full + " " + full),
            "ab " + full + "\n   " + full + "\n");
}

TEST(Wrapped, DoesNotBreakAWord) {
  const std::string long_word(200, 'x');
  EXPECT_EQ(wrapped("a ", long_word + " b"), "a " + long_word + "\n  b\n");
}

}  // namespace
}  // namespace pgrecast::cli
