#pragma once

#include "pgrecast/base/deadline.h"

#include <csignal>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace pgrecast::test {

// One child process. The destructor kills it (SIGKILL, by its pid) and reaps
// it; should we die first, the kernel sends it `at_our_death`.
//
// Start processes on the test's main thread: the kernel counts the end of the
// *thread* that started a process as our death.
class Process {
 public:
  struct Options {
    std::vector<std::string> command;      // the program's path, its arguments
    std::vector<std::string> environment;  // "NAME=value", beside our own
    std::string stdout_path;               // appended to
    std::string stderr_path;               // appended to; may be stdout_path
    bool as_postgres = false;              // as user postgres, if we are root
    int at_our_death = SIGKILL;
    // The path of one, for stdin, stdout and stderr; it gets a session of its
    // own there, as from a login. Empty: the paths above, and no input.
    std::string terminal = {};
  };

  explicit Process(const Options& options);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }

  // False once it has ended.
  bool running();

  // Sends a signal; nothing happens where it has ended.
  void signal(int number);

  // The exit code, or 128 + the signal that ended it, as a shell tells it;
  // nullopt where the deadline passed first.
  std::optional<int> wait(Deadline deadline);

 private:
  void kill_and_reap() noexcept;

  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// Whether the machine has a process of this id that is not a zombie.
bool process_alive(pid_t pid);

// The processes whose parent is `parent`.
std::vector<pid_t> children_of(pid_t parent);

// The file's whole text; empty where there is no such file.
std::string read_file(const std::string& path);

// Makes user postgres the owner of a file or folder, if we are root.
void give_to_postgres(const std::string& path);

}  // namespace pgrecast::test
