#include "support/terminal.h"

#include "pgrecast/base/error.h"

#include "support/eventually.h"
#include "support/program.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <regex>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace pgrecast::test {
namespace {

int checked(int result, const char* what) {
  if (result >= 0) return result;
  throw std::system_error(errno, std::generic_category(), what);
}

int open_terminal(unsigned short columns) {
  const int file = checked(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC),
                           "cannot make a terminal");
  checked(grantpt(file), "grantpt");
  checked(unlockpt(file), "unlockpt");
  constexpr unsigned short kRows = 24;
  const winsize size{
      .ws_row = kRows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  checked(ioctl(file, TIOCSWINSZ, &size), "TIOCSWINSZ");
  return file;
}

std::string name_of(int terminal) {
  std::array<char, 64> name{};
  if (ptsname_r(terminal, name.data(), name.size()) != 0) {
    throw std::system_error(errno, std::generic_category(), "ptsname");
  }
  return name.data();
}

std::vector<std::string> command_of(const TerminalProgram::Texts& arguments) {
  std::vector<std::string> command{pgrecast_binary()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

TerminalProgram::File::~File() {
  close(number);
}

TerminalProgram::TerminalProgram(const Texts& arguments,
                                 const Texts& environment,
                                 unsigned short columns)
    : keyboard_(open_terminal(columns)),
      held_(checked(open(name_of(keyboard_.number).c_str(),
                         O_RDWR | O_NOCTTY | O_CLOEXEC),
                    "cannot open the terminal")),
      process_({.command = command_of(arguments),
                .environment = environment,
                .stdout_path = "",
                .stderr_path = "",
                .terminal = name_of(keyboard_.number)}),
      reader_([this](const std::stop_token& stop) { read_until(stop); }) {}

// Always: a program whose terminal is not read waits.
void TerminalProgram::read_until(const std::stop_token& stop) {
  constexpr int kLookForStopMs = 20;
  while (!stop.stop_requested()) {
    pollfd file{.fd = keyboard_.number, .events = POLLIN, .revents = 0};
    if (poll(&file, 1, kLookForStopMs) <= 0) continue;
    std::array<char, 4096> bytes{};
    const ssize_t count = read(keyboard_.number, bytes.data(), bytes.size());
    if (count <= 0) return;
    const std::lock_guard lock(mutex_);
    text_.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

void TerminalProgram::type(const std::string& keys) {
  if (write(keyboard_.number, keys.data(), keys.size()) !=
      static_cast<ssize_t>(keys.size())) {
    throw std::system_error(errno, std::generic_category(), "cannot type");
  }
}

std::string TerminalProgram::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

void TerminalProgram::wait_for_text(const std::string& regex,
                                    Deadline deadline) {
  const std::regex wanted(regex);
  const auto found = [&] { return std::regex_search(text(), wanted); };
  // What it wrote just before its end may come a little later.
  eventually([&] { return found() || !process_.running(); }, deadline);
  if (found() || eventually(found, Deadline::in(std::chrono::seconds(1)))) {
    return;
  }
  throw TimedOut(
      fmt::format("text that matches '{}' on the terminal; there "
                  "is:\n{}",
                  regex, text()));
}

int TerminalProgram::wait(Deadline deadline) {
  if (const auto exit_code = process_.wait(deadline)) return *exit_code;
  throw TimedOut(
      fmt::format("the program to end; the terminal has:\n{}", text()));
}

}  // namespace pgrecast::test
