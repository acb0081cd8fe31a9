#include "support/process.h"

#include "pgrecast/base/assert.h"

#include "support/eventually.h"

#include <array>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <grp.h>
#include <pwd.h>
#include <sstream>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgrecast::test {
namespace {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// PostgreSQL refuses to run as root.
Account postgres_account() {
  struct passwd entry = {};
  struct passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  getpwnam_r("postgres", &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    throw std::runtime_error(
        "there is no user postgres to run a server as: run "
        "tools/install-dependencies");
  }
  return {.uid = entry.pw_uid, .gid = entry.pw_gid};
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Ours, and `more`, which wins.
std::vector<std::string> environment_with(
    const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& other : more) {
      replaced = replaced || other.rfind(name, 0) == 0;
    }
    if (!replaced) all.push_back(text);
  }
  return all;
}

// The terminal, if there is one; else the file, to append to.
int open_output(const std::string& terminal, const std::string& path) {
  constexpr mode_t kMode = 0644;
  const std::string file = path.empty() ? "/dev/null" : path;
  const std::string& name = terminal.empty() ? file : terminal;
  const int how =
      terminal.empty() ? O_WRONLY | O_CREAT | O_APPEND : O_RDWR | O_NOCTTY;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): that is how open() is
  const int fd = open(name.c_str(), how | O_CLOEXEC, kMode);
  if (fd < 0) throw_errno("cannot open " + name);
  return fd;
}

// What the child does between fork and exec: system calls only, since our
// other threads may have held any lock at the fork.
struct Launch {
  std::vector<char*> argv;
  std::vector<char*> envp;
  int out = -1;
  int err = -1;
  bool drop_root = false;
  Account account;
  int at_our_death = SIGKILL;
  pid_t parent = -1;
  bool on_terminal = false;  // `out` and `err` are it

  [[noreturn]] void run() const noexcept {
    constexpr int kCannotStart = 127;
    int in = out;
    if (!on_terminal) {
      in = open("/dev/null", O_RDONLY);  // NOLINT(*-vararg): open()
    } else if (setsid() < 0 || ioctl(out, TIOCSCTTY, 0) != 0) {
      _exit(kCannotStart);
    }
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    if (drop_root) {
      if (setgroups(0, nullptr) != 0 || setgid(account.gid) != 0 ||
          setuid(account.uid) != 0) {
        _exit(kCannotStart);
      }
    }
    // After setuid, which resets it.
    prctl(PR_SET_PDEATHSIG, at_our_death);  // NOLINT(*-vararg): prctl()
    if (getppid() != parent) _exit(kCannotStart);
    execve(argv[0], argv.data(), envp.data());
    const std::string_view complaint = "cannot be executed: ";
    std::ignore = write(STDERR_FILENO, complaint.data(), complaint.size());
    std::ignore =
        write(STDERR_FILENO, argv[0], std::char_traits<char>::length(argv[0]));
    std::ignore = write(STDERR_FILENO, "\n", 1);
    _exit(kCannotStart);
  }
};

int shell_exit_code(int status) {
  constexpr int kSignalled = 128;
  if (WIFSIGNALED(status)) return kSignalled + WTERMSIG(status);
  return WEXITSTATUS(status);
}

}  // namespace

Process::Process(const Options& options) {
  PGRECAST_ASSERT(gettid() == getpid(),
                  "a process must be started on the main thread: {}",
                  options.command.at(0));
  std::vector<std::string> arguments = options.command;
  std::vector<std::string> environment = environment_with(options.environment);
  Launch launch;
  launch.argv = pointers_to(arguments);
  launch.envp = pointers_to(environment);
  launch.drop_root = options.as_postgres && geteuid() == 0;
  if (launch.drop_root) launch.account = postgres_account();
  launch.at_our_death = options.at_our_death;
  launch.parent = getpid();
  launch.on_terminal = !options.terminal.empty();
  launch.out = open_output(options.terminal, options.stdout_path);
  launch.err = open_output(options.terminal, options.stderr_path);

  const pid_t forked = fork();
  if (forked == 0) launch.run();
  close(launch.out);
  close(launch.err);
  if (forked < 0) throw_errno("cannot fork");
  pid_ = forked;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  kill_and_reap();
  pid_ = std::exchange(other.pid_, -1);
  exit_code_ = other.exit_code_;
  return *this;
}

Process::~Process() {
  kill_and_reap();
}

void Process::kill_and_reap() noexcept {
  if (pid_ < 0 || exit_code_) return;
  kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_code_ = shell_exit_code(status);
}

bool Process::running() {
  if (exit_code_) return false;
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, WNOHANG);
  if (ended == pid_) exit_code_ = shell_exit_code(status);
  return !exit_code_;
}

void Process::signal(int number) {
  if (running()) kill(pid_, number);
}

std::optional<int> Process::wait(Deadline deadline) {
  eventually([&] { return !running(); }, deadline);
  return exit_code_;
}

namespace {

// What /proc/PID/stat says: its state and its parent. The name before them is
// in parentheses and may hold anything.
struct ProcessState {
  char state = 'Z';
  pid_t parent = 0;
};

std::optional<ProcessState> state_of(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(text.substr(name_end + 1));
  ProcessState state;
  rest >> state.state >> state.parent;
  return state;
}

}  // namespace

bool process_alive(pid_t pid) {
  const auto state = state_of(pid);
  return state && state->state != 'Z' && state->state != 'X';
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, pid);
    if (error != std::errc{} || rest != end) continue;
    const auto state = state_of(pid);
    if (state && state->parent == parent) children.push_back(pid);
  }
  return children;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void give_to_postgres(const std::string& path) {
  if (geteuid() != 0) return;
  const Account account = postgres_account();
  if (chown(path.c_str(), account.uid, account.gid) != 0) {
    throw_errno("cannot give " + path + " to user postgres");
  }
}

}  // namespace pgrecast::test
