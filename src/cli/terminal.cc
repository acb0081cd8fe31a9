#include "pgrecast/cli/terminal.h"

#include "pgrecast/base/error.h"
#include "pgrecast/cli/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace pgrecast::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

winsize size_of(int terminal) {
  winsize size{};
  return ioctl(terminal, TIOCGWINSZ, &size) == 0 ? size : winsize{};
}

// Can be read once stop is requested: poll() waits for it beside others.
class StopFile {
 public:
  explicit StopFile(const std::stop_token& stop)
      : wake_(stop, Wake{file_.number}) {}

  int number() const { return file_.number; }

 private:
  struct File {
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { close(number); }
    int number = eventfd(0, EFD_CLOEXEC);
  };
  struct Wake {
    int file;
    void operator()() const noexcept { eventfd_write(file, 1); }
  };

  File file_;
  std::stop_callback<Wake> wake_;  // gone before the file is
};

// Up to the end of the line, or of the input.
std::string read_line(const std::stop_token& stop) {
  const StopFile stopped(stop);
  std::string line;
  while (!line.ends_with('\n')) {
    std::array<pollfd, 2> files{
        {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
         {.fd = stopped.number(), .events = POLLIN, .revents = 0}}};
    if (poll(files.data(), files.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "poll");
    }
    if (stop.stop_requested()) throw Stopped();
    std::array<char, 256> bytes{};
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count <= 0) return line;
    line.append(bytes.data(), static_cast<std::size_t>(count));
  }
  line.pop_back();
  return line;
}

}  // namespace

bool wants_colour(int file) {
  return can_redraw(file) && environment("NO_COLOR").empty();
}

bool can_redraw(int file) {
  const std::string terminal = environment("TERM");
  return isatty(file) != 0 && !terminal.empty() && terminal != "dumb";
}

std::size_t columns_of(int file) {
  const std::size_t columns = size_of(file).ws_col;
  return columns > 0 ? columns : kColumns;
}

std::size_t rows_of(int file) {
  constexpr std::size_t kRows = 24;
  const std::size_t rows = size_of(file).ws_row;
  return rows > 0 ? rows : kRows;
}

std::string redrawn(const std::string& page, std::size_t rows) {
  std::string text = "\x1b[H";
  std::size_t line = 1;
  for (const char c : page) {
    if (c != '\n') {
      text += c;
    } else if (++line > rows) {
      break;
    } else {
      text += "\x1b[K\n";
    }
  }
  return text + "\x1b[J";
}

std::size_t page_columns(int file) {
  constexpr std::size_t kFewest = 50;
  return std::clamp(columns_of(file), kFewest, kColumns);
}

bool confirmed(const std::string& question, const std::stop_token& stop) {
  fmt::print("{} [y/N] ", question);
  std::fflush(stdout);
  const std::string answer = read_line(stop);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace pgrecast::cli
