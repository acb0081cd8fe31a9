#include "unit/script/parsed.h"

#include <gtest/gtest.h>

namespace pgrecast::script {
namespace {

std::string message(const std::string& text, std::size_t offset) {
  return SourceText(text, "a.sql").message_at(offset, "wrong", "mend it");
}

TEST(Message, PutsTheCaretUnderTheCharacter) {
  EXPECT_EQ(message("abc\ndef ghi\n", 8),
            "a.sql:2:5: wrong\n  def ghi\n      ^\n  mend it");
}

TEST(Message, CopiesTheTabsOfTheLine) {
  EXPECT_EQ(message("\tab\tcd", 4),
            "a.sql:1:5: wrong\n  \tab\tcd\n  \t  \t^\n  mend it");
}

TEST(Message, CountsCharactersAndNotBytes) {
  EXPECT_EQ(message("größe x", 8),
            "a.sql:1:7: wrong\n  größe x\n        ^\n  mend it");
}

TEST(Message, KnowsWideAndCombiningCharacters) {
  EXPECT_EQ(message("日本 x", 7),
            "a.sql:1:4: wrong\n  日本 x\n       ^\n  mend it");
  EXPECT_EQ(message("e\xCC\x81 x", 4),
            "a.sql:1:4: wrong\n  e\xCC\x81 x\n    ^\n  mend it");
}

TEST(Message, DropsTheCarriageReturn) {
  EXPECT_EQ(message("a\r\nbc\r\nd", 4),
            "a.sql:2:2: wrong\n  bc\n   ^\n  mend it");
}

TEST(Message, PointsBehindTheEnd) {
  EXPECT_EQ(message("ab", 2), "a.sql:1:3: wrong\n  ab\n    ^\n  mend it");
  EXPECT_EQ(message("ab\n", 3), "a.sql:2:1: wrong\n  \n  ^\n  mend it");
  EXPECT_EQ(message("", 0), "a.sql:1:1: wrong\n  \n  ^\n  mend it");
}

TEST(Message, ShowsAPartOfALongLine) {
  const std::string text(500, 'a');

  const std::string shown = message(text + "X" + text, 500);

  EXPECT_EQ(shown, "a.sql:1:501: wrong\n  ..." + std::string(36, 'a') + "X" +
                       std::string(35, 'a') + "...\n  " + std::string(39, ' ') +
                       "^\n  mend it");
}

TEST(Message, LetsNoControlCharacterReachTheTerminal) {
  EXPECT_EQ(message("a\x1B[2Jb", 5),
            "a.sql:1:6: wrong\n  a [2Jb\n       ^\n  mend it");
}

TEST(Message, IsWhatAScriptSaysOfAPlace) {
  const Script script = parse("UPDATE t\nSET a = b");

  EXPECT_EQ(script.error_at(17, "no such column", "look"),
            "test.sql:2:9: no such column\n  SET a = b\n          ^\n  look");
}

}  // namespace
}  // namespace pgrecast::script
