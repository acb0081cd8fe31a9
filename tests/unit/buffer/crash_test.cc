#include "pgrecast/buffer/change_buffer.h"

#include "unit/buffer/buffer_fixture.h"
#include "unit/buffer/crash_history.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace pgrecast {
namespace {

namespace history = test::history;

// A crash writer that runs in `folder`.
class CrashWriter {
 public:
  CrashWriter(const std::filesystem::path& folder, const std::string& bytes_max,
              const std::string& stop_at) {
    int ends[2] = {};
    if (::pipe(ends) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      if (!stop_at.empty()) ::setenv("PGRECAST_STOP_AT", stop_at.c_str(), 1);
      ::execl(PGRECAST_CRASH_WRITER, PGRECAST_CRASH_WRITER, folder.c_str(),
              bytes_max.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_.reset(::fdopen(ends[0], "r"));
  }
  CrashWriter(const CrashWriter&) = delete;
  CrashWriter& operator=(const CrashWriter&) = delete;
  ~CrashWriter() {
    if (pid_ > 0) kill_and_wait();
  }

  // Reads lines until it has read `lines` or the writer ended.
  void read(int lines) {
    char word[16] = {};
    unsigned long long number = 0;
    for (int i = 0; i < lines; ++i) {
      if (std::fscanf(output_.get(), "%15s %llu", word, &number) != 2) return;
      confirmed_ = Lsn{number};
      failed_ = std::string(word) == "failed";
    }
  }
  int kill_and_wait() {
    int status = 0;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  Lsn confirmed() const { return confirmed_; }
  bool failed() const { return failed_; }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  pid_t pid_ = -1;
  std::unique_ptr<std::FILE, Closer> output_;
  Lsn confirmed_;
  bool failed_ = false;
};

class CrashTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "b"; }

  // The position is not behind what was confirmed, and nothing below it that
  // no round saw is missing.
  void expect_whole(Lsn confirmed) {
    ChangeBuffer buffer = ChangeBuffer::open(path(), test::some_identity());
    const Lsn position = buffer.position();
    EXPECT_GE(position, confirmed);
    ASSERT_TRUE(position == Lsn{1} || position.value % 100 == 50)
        << position.value;
    const std::uint64_t last = position.value / 100;
    EXPECT_EQ(buffer.last_commit_lsn(), Lsn{last * 100});
    const test::KeyXids dirty = test::all_keys(buffer.seal(), 0);
    for (std::uint64_t transaction = 1; transaction <= last; transaction += 2) {
      for (std::uint64_t i = 0; i < history::kKeysPerTransaction; ++i) {
        const auto entry = dirty.find(history::key(transaction, i));
        ASSERT_NE(entry, dirty.end())
            << "transaction=" << transaction << " of " << last;
        ASSERT_EQ(entry->second, transaction);
      }
    }
    RecordProperty("transactions", static_cast<int>(last));
  }

 private:
  test::TempFolder folder_;
};

TEST_F(CrashTest, KilledAnywhereThePositionIsNotAheadOfTheKeys) {
  for (const int lines : {1, 2, 7, 20, 60, 150}) {
    CrashWriter writer(path(), "0", "");
    writer.read(lines);
    writer.kill_and_wait();

    expect_whole(writer.confirmed());
    ChangeBuffer::destroy(path());
  }
}

TEST_F(CrashTest, FullDiskFailsAndLosesNothingThatWasConfirmed) {
  CrashWriter writer(path(), "6000000", "");
  writer.read(1 << 20);

  EXPECT_TRUE(writer.failed());
  EXPECT_GT(writer.confirmed(), Lsn{1});
  EXPECT_EQ(writer.kill_and_wait(), 0);
  expect_whole(writer.confirmed());
}

#ifdef PGRECAST_TEST_HOOKS
TEST_F(CrashTest, KilledBetweenAnyTwoStepsOfARoundNothingIsLost) {
  for (const char* const step : {"buffer:before_write", "buffer:written",
                                 "buffer:carried", "buffer:forgotten"}) {
    for (const char* const time : {"#1", "#2", "#5", "#9"}) {
      SCOPED_TRACE(std::string(step) + time);
      CrashWriter writer(path(), "0", std::string(step) + time);
      writer.read(1 << 20);
      const int status = writer.kill_and_wait();
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

      expect_whole(writer.confirmed());
      ChangeBuffer::destroy(path());
    }
  }
}
#endif

}  // namespace
}  // namespace pgrecast
