#include "pgrecast/cli/terminal.h"

#include <gtest/gtest.h>

namespace pgrecast::cli {
namespace {

// What was there before is written over, line by line, and erased below.
TEST(Redrawn, BeginsAtTheTopAndErasesWhatIsLeft) {
  EXPECT_EQ(redrawn("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
}

// A newline in the last line would scroll the first one away, each second.
TEST(Redrawn, LeavesOutWhatDoesNotFit) {
  EXPECT_EQ(redrawn("a\nb\n", 2), "\x1b[Ha\x1b[K\nb\x1b[J");
  EXPECT_EQ(redrawn("a\nb\nc\n", 2), "\x1b[Ha\x1b[K\nb\x1b[J");
}

}  // namespace
}  // namespace pgrecast::cli
