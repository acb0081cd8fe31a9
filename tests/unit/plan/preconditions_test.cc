#include "pgrecast/plan/preconditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

namespace pgrecast::plan {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(VersionWarnings, KnowTheMinorVersionsWhoseDecodingIsWrong) {
  EXPECT_THAT(version_warnings(150001), SizeIs(2));
  EXPECT_THAT(version_warnings(150012), SizeIs(1));
  EXPECT_THAT(version_warnings(150013), IsEmpty());
  EXPECT_THAT(version_warnings(140017).at(0), HasSubstr("14.18 mends it"));
  EXPECT_THAT(version_warnings(140018), IsEmpty());
  EXPECT_THAT(version_warnings(160008), SizeIs(1));
  EXPECT_THAT(version_warnings(170004), SizeIs(1));
  EXPECT_THAT(version_warnings(170005), IsEmpty());
  EXPECT_THAT(version_warnings(180000), IsEmpty());
}

TEST(StateDir, NeedNotExistYetAndMustHaveRoom) {
  const auto folder = std::filesystem::temp_directory_path() / "no/such/folder";
  EXPECT_EQ(state_dir_refusal(folder, 1), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(folder));

  const auto full =
      state_dir_refusal(folder, std::numeric_limits<std::uint64_t>::max());
  ASSERT_TRUE(full.has_value());
  EXPECT_THAT(full->what, HasSubstr("MB free, and the change buffer needs"));
}

TEST(StateDir, MustBeAFolderThatCanBeWritten) {
  const auto file = state_dir_refusal("/dev/null/state", 1);
  ASSERT_TRUE(file.has_value());
  EXPECT_THAT(file->what, HasSubstr("cannot be written into"));
}

}  // namespace
}  // namespace pgrecast::plan
