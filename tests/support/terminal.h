#pragma once

#include "support/process.h"

#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {

// The real pgrecast on a terminal, as a person sits before it: stdin, stdout
// and stderr are the terminal, and what is typed comes as from a keyboard, with
// Ctrl-C (kCtrlC) and Ctrl-D. Killed by the destructor. Use on the main thread
// (see Process).
//
//   TerminalProgram run({"run", "--dsn", dsn(), script}, {"TERM=xterm"});
//   run.wait_for_text("\\[y/N\\] ");
//   run.type("n\n");
//   EXPECT_EQ(run.wait(), 3) << run.text();
class TerminalProgram {
 public:
  using Texts = std::vector<std::string>;

  static constexpr const char* kCtrlC = "\x03";
  static constexpr const char* kCtrlD = "\x04";

  // `environment`: "NAME=value", beside our own.
  explicit TerminalProgram(const Texts& arguments, const Texts& environment,
                           unsigned short columns = 80);
  TerminalProgram(const TerminalProgram&) = delete;
  TerminalProgram& operator=(const TerminalProgram&) = delete;
  ~TerminalProgram() = default;

  void type(const std::string& keys);

  // All that came to the terminal until now, what was typed among it: lines end
  // with "\r\n".
  std::string text() const;

  // Returns when that matches `regex` (ECMAScript). Throws TimedOut, with the
  // text, where the deadline passes or the program ends first.
  void wait_for_text(const std::string& regex,
                     Deadline deadline = Deadline::in(std::chrono::minutes(1)));

  // As Program::wait().
  int wait(Deadline deadline = Deadline::in(std::chrono::minutes(2)));

 private:
  struct File {
    explicit File(int number_) : number(number_) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File();
    int number;
  };

  void read_until(const std::stop_token& stop);

  File keyboard_;  // the terminal's other end
  File held_;      // so that nothing is lost when the program ends
  Process process_;
  mutable std::mutex mutex_;
  std::string text_;
  std::jthread reader_;  // the last member: it uses the others
};

}  // namespace pgrecast::test
