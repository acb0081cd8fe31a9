#pragma once

#include "support/process.h"

#include <string>
#include <vector>

namespace pgrecast::test {

// The real pgrecast (or another program), run as an operator would. Killed by
// the destructor. Use on the main thread (see Process).
//
//   Program run({"run", "--dsn", dsn(), script});
//   run.wait_for_output("ready for cutover");
//   run.signal(SIGTERM);
//   EXPECT_EQ(run.wait(), 4) << run.output();
class Program {
 public:
  using Texts = std::vector<std::string>;

  // `environment`: "NAME=value", beside our own. The binary is that of this
  // build, or PGRECAST_BINARY's.
  explicit Program(const Texts& arguments, const Texts& environment = {});
  // Any command: the program's path and its arguments.
  static Program command(const Texts& command, const Texts& environment = {});

  // The exit code; 128 + the signal where one ended it. Throws TimedOut, with
  // what it has written, where the deadline passes first.
  int wait(Deadline deadline = Deadline::in(std::chrono::minutes(2)));

  // Returns when a line of stdout or stderr matches `regex` (ECMAScript).
  // Throws TimedOut, with what it has written, where the deadline passes or
  // the program ends first.
  void wait_for_output(
      const std::string& regex,
      Deadline deadline = Deadline::in(std::chrono::minutes(1)));

  bool running() { return process_.running(); }
  void signal(int number) { process_.signal(number); }
  pid_t pid() const { return process_.pid(); }

  // Returns when it is stopped (SIGSTOP): PGRECAST_FREEZE_AT. Throws TimedOut,
  // with what it has written, where it is not.
  void wait_until_frozen(
      Deadline deadline = Deadline::in(std::chrono::minutes(1)));

  // What it has written until now.
  std::string out() const;
  std::string err() const;
  std::string output() const { return out() + err(); }

 private:
  // Where its output goes; removed with it.
  struct Folder {
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    Folder(Folder&& other) noexcept;
    Folder& operator=(Folder&& other) noexcept;
    ~Folder();

    std::string path;
  };

  Program(Folder folder, const Texts& command, const Texts& environment);

  Folder folder_;
  Process process_;
};

// The path of the pgrecast under test. Throws std::runtime_error where this
// build has none.
std::string pgrecast_binary();

}  // namespace pgrecast::test
