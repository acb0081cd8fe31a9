#include "pgrecast/base/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace pgrecast {
namespace {

TEST(TextTest, JoinPutsTheSeparatorBetween) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({"a", "", "c"}, ", "), "a, , c");
}

// The published test vectors of 64-bit FNV-1a: names made of this hash are
// stored in databases, so it may never change.
TEST(TextTest, StableHashIsFnv1a) {
  EXPECT_EQ(stable_hash(""), "cbf29ce484222325");
  EXPECT_EQ(stable_hash("a"), "af63dc4c8601ec8c");
  EXPECT_EQ(stable_hash("foobar"), "85944171f73967e8");
}

TEST(TextTest, StableHashTakesBytesAboveAsciiAsUnsigned) {
  EXPECT_EQ(stable_hash("\xFF"), "af64724c8602eb6e");
}

TEST(TextTest, PrefixKeepsWhatFits) {
  EXPECT_EQ(utf8_prefix("abc", 3), "abc");
  EXPECT_EQ(utf8_prefix("abc", 2), "ab");
  EXPECT_EQ(utf8_prefix("abc", 0), "");
  EXPECT_EQ(utf8_prefix("", 5), "");
}

TEST(TextTest, PrefixNeverEndsInsideACharacter) {
  EXPECT_EQ(utf8_prefix("aé", 2), "a");
  EXPECT_EQ(utf8_prefix("aé", 3), "aé");
  EXPECT_EQ(utf8_prefix("€€", 5), "€");
  EXPECT_EQ(utf8_prefix("€", 2), "");
  EXPECT_EQ(utf8_prefix("\U0001F418x", 3), "");
  EXPECT_EQ(utf8_prefix("\U0001F418x", 4), "\U0001F418");
}

RC_GTEST_PROP(TextProperty, PrefixIsALongestWholeBeginning, ()) {
  const auto characters =
      *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(
          std::vector<std::string>{"a", "é", "€", "\U0001F418"}));
  const std::string text = join(characters, "");
  const auto bytes_max = *rc::gen::inRange<std::size_t>(0, 40);

  std::string expected;
  for (const std::string& character : characters) {
    if (expected.size() + character.size() > bytes_max) break;
    expected += character;
  }

  RC_ASSERT(utf8_prefix(text, bytes_max) == expected);
}

}  // namespace
}  // namespace pgrecast
