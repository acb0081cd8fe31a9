#include "pgrecast/base/error.h"
#include "pgrecast/buffer/change_buffer.h"

#include "unit/buffer/buffer_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>

namespace pgrecast {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class OpenBufferTest : public testing::Test {
 protected:
  fs::path path() const { return folder_.path() / "orders"; }
  ChangeBuffer create() const {
    return ChangeBuffer::create(path(), test::some_identity(), Lsn{1});
  }
  template <typename Expected>
  std::string error_of_open(const BufferIdentity& expected) const {
    try {
      ChangeBuffer::open(path(), expected);
    } catch (const Expected& error) {
      return error.what();
    }
    return "did not throw";
  }
  void replace_in_identity(const std::string& from, const std::string& to) {
    std::ifstream in(path() / "identity");
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    std::ofstream(path() / "identity") << text.replace(at, from.size(), to);
  }

 private:
  test::TempFolder folder_;
};

TEST_F(OpenBufferTest, NewFolderIsForItsOwnerOnly) {
  create();

  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
}

TEST_F(OpenBufferTest, NewBufferStartsAtThePositionItWasGiven) {
  create();

  const auto buffer = ChangeBuffer::open(path(), test::some_identity());

  EXPECT_EQ(buffer.position(), Lsn{1});
  EXPECT_EQ(buffer.durable_position(), Lsn{1});
  EXPECT_EQ(buffer.last_commit_lsn(), Lsn{0});
}

TEST_F(OpenBufferTest, FolderWithSomethingInItIsNotOverwritten) {
  create();
  EXPECT_THROW(create(), StorageError);
}

TEST_F(OpenBufferTest, MissingBufferMeansThatChangesWereLost) {
  EXPECT_THROW(ChangeBuffer::open(path(), test::some_identity()), ChangesLost);
  create();
  fs::remove_all(path() / "db");
  EXPECT_THROW(ChangeBuffer::open(path(), test::some_identity()), ChangesLost);
}

TEST_F(OpenBufferTest, EveryFieldThatDiffersIsNamed) {
  create();
  BufferIdentity promoted = test::some_identity();
  promoted.timeline = 2;
  BufferIdentity other = promoted;
  other.migration = "x";
  other.system_identifier = 1;
  other.database_oid = 2;
  other.slot_name = "y";

  EXPECT_THAT(error_of_open<ChangesLost>(promoted),
              AllOf(HasSubstr("timeline is 1, expected 2"),
                    Not(HasSubstr("slot name"))));
  EXPECT_THAT(error_of_open<ChangesLost>(other),
              AllOf(HasSubstr("migration"), HasSubstr("system identifier"),
                    HasSubstr("database oid"), HasSubstr("slot name")));
}

TEST_F(OpenBufferTest, NewerFormatIsRefused) {
  create();
  replace_in_identity("format_version=1", "format_version=2");

  EXPECT_THAT(error_of_open<Refused>(test::some_identity()),
              HasSubstr("format 2"));
}

TEST_F(OpenBufferTest, OnlyOneMayHaveItOpen) {
  const ChangeBuffer first = create();

  EXPECT_THAT(error_of_open<StorageError>(test::some_identity()),
              HasSubstr("in use"));
  EXPECT_THROW(ChangeBuffer::destroy(path()), StorageError);
}

TEST_F(OpenBufferTest, DamageIsToldFromLoss) {
  {
    ChangeBuffer buffer = create();
    buffer.note_key(0, "key", Xid64{7});
    buffer.sync();
  }
  std::ofstream(path() / "db" / "CURRENT") << "MANIFEST-999999\n";
  EXPECT_THROW(ChangeBuffer::open(path(), test::some_identity()), StorageError);

  std::ofstream(path() / "identity") << "pgrecast change bu";
  EXPECT_THAT(error_of_open<StorageError>(test::some_identity()),
              HasSubstr("damaged"));
}

TEST_F(OpenBufferTest, DestroyRemovesTheFolder) {
  create();

  ChangeBuffer::destroy(path());
  ChangeBuffer::destroy(path());

  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(OpenBufferTest, DestroyLeavesWhatIsNotOurs) {
  create();
  std::ofstream(path() / "notes") << "mine";
  std::ofstream(path() / "db" / "notes") << "mine";

  ChangeBuffer::destroy(path());

  EXPECT_TRUE(fs::exists(path() / "notes"));
  EXPECT_TRUE(fs::exists(path() / "db" / "notes"));
  EXPECT_FALSE(fs::exists(path() / "db" / "CURRENT"));
  EXPECT_FALSE(fs::exists(path() / "identity"));
}

// What a crash leaves before the identity has its name, or after it is gone:
// no run and no abort got past it.
TEST_F(OpenBufferTest, DestroyRemovesAFolderThatWasNeverFinished) {
  fs::create_directory(path());
  std::ofstream(path() / "identity.new") << "pgrecast change bu";
  ChangeBuffer::destroy(path());
  EXPECT_FALSE(fs::exists(path()));

  fs::create_directory(path());
  ChangeBuffer::destroy(path());
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(OpenBufferTest, DestroyRefusesAFolderThatIsNoBuffer) {
  fs::create_directory(path());
  std::ofstream(path() / "notes") << "mine";

  EXPECT_THROW(ChangeBuffer::destroy(path()), StorageError);
  EXPECT_TRUE(fs::exists(path() / "notes"));
}

}  // namespace
}  // namespace pgrecast
