#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/cli/exit_code.h"
#include "pgrecast/cli/run_command.h"
#include "pgrecast/cli/size.h"
#include "pgrecast/cli/status_command.h"
#include "pgrecast/cli/terminal.h"
#include "pgrecast/migration/commands.h"
#include "pgrecast/pg/quote.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <pthread.h>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>

namespace pgrecast::cli {
namespace {

struct Arguments {
  RunCommand run;
  std::string script_file;
  std::string table;
  std::string alter;
  std::string name;
  std::string cutover = "auto";
  std::string progress = "auto";
  std::string log_format = "text";
  std::string log_level = "info";
  std::string state_dir;
  int lock_timeout_ms = 300;
  int cutover_budget_ms = 2000;
  int abort_patience_s = 120;
  bool no_verify = false;
  bool json = false;
  bool watch = false;
  std::string max_retained = "10GB";
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

std::filesystem::path default_state_dir() {
  if (const auto state = environment("XDG_STATE_HOME"); !state.empty()) {
    return std::filesystem::path(state) / "pgrecast";
  }
  if (const auto home = environment("HOME"); !home.empty()) {
    return std::filesystem::path(home) / ".local/state/pgrecast";
  }
  throw UsageError(
      "there is no home directory for the state: give "
      "--state-dir");
}

std::filesystem::path state_dir_of(const Arguments& arguments) {
  return arguments.state_dir.empty()
             ? default_state_dir()
             : std::filesystem::path(arguments.state_dir);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw UsageError(fmt::format("the script {} cannot be read", path));
  }
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// The options of run and plan, as the migration wants them.
migration::RunOptions run_options(const Arguments& arguments) {
  migration::RunOptions options = arguments.run.options;
  if (!arguments.alter.empty()) {
    options.script =
        fmt::format("ALTER TABLE {} {};\n", arguments.table, arguments.alter);
    options.script_file = "--alter";
    options.name = arguments.table;
  } else if (!arguments.script_file.empty()) {
    options.script = read_file(arguments.script_file);
    options.script_file = arguments.script_file;
    options.name = std::filesystem::path(arguments.script_file).stem().string();
  } else {
    throw UsageError("give a script, or --table and --alter");
  }
  if (!arguments.name.empty()) options.name = arguments.name;
  options.state_dir = state_dir_of(arguments);
  options.cutover = arguments.cutover == "manual"
                        ? migration::CutoverPolicy::kManual
                        : migration::CutoverPolicy::kAuto;
  options.lock_timeout = milliseconds(arguments.lock_timeout_ms);
  options.cutover_budget = milliseconds(arguments.cutover_budget_ms);
  options.verify = !arguments.no_verify;
  options.retained_max = bytes_of(arguments.max_retained);
  return options;
}

ProgressMode progress_mode(const std::string& text) {
  if (text == "bar") return ProgressMode::kBar;
  if (text == "plain") return ProgressMode::kPlain;
  if (text == "none") return ProgressMode::kNone;
  return ProgressMode::kAuto;
}

// Every signal that ends us politely becomes a stop request, on a thread of its
// own: no handler runs in the middle of anything.
class SignalThread {
 public:
  SignalThread() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) {
      sigaddset(&signals_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    thread_ = std::thread([this] {
      int signal = 0;
      sigwait(&signals_, &signal);
      if (signal != SIGUSR2) {
        // Behind the terminal's own ^C.
        if (signal == SIGINT && can_redraw(STDERR_FILENO)) {
          std::fputc('\n', stderr);
        }
        log::info("cli", "stopping on a signal", "signal={}", signal);
      }
      stop_.request_stop();
    });
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread() {
    pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
  }

  std::stop_token token() const { return stop_.get_token(); }

 private:
  sigset_t signals_{};
  std::stop_source stop_;
  std::thread thread_;
};

void add_connection(CLI::App& command, Arguments& arguments) {
  command.add_option("--dsn", arguments.run.options.conninfo,
                     "libpq connection string or URI; default: libpq's "
                     "environment (PGHOST, PGSERVICE, ..)");
}

void add_script(CLI::App& command, Arguments& arguments) {
  add_connection(command, arguments);
  command.add_option("script", arguments.script_file,
                     "the migration as SQL, as one would run it by hand");
  auto* table = command.add_option("--table", arguments.table,
                                   "with --alter: a one-line script");
  command
      .add_option("--alter", arguments.alter, "what would follow ALTER TABLE t")
      ->needs(table);
  command.add_option("--name", arguments.name,
                     "the migration's name; default: the script's file name");
  command
      .add_option("--assume-immutable", arguments.run.options.assume_immutable,
                  "a function that gives the same value each time, whatever "
                  "its volatility says: f, s.f or 's.f(integer)'; may be "
                  "repeated")
      ->expected(1);
}

void add_state_dir(CLI::App& command, Arguments& arguments) {
  command.add_option("--state-dir", arguments.state_dir,
                     "where the change buffer lives; default: "
                     "~/.local/state/pgrecast");
}

void add_run(CLI::App& app, Arguments& arguments) {
  CLI::App* run = app.add_subcommand("run", "do it, or resume it");
  add_script(*run, arguments);
  add_state_dir(*run, arguments);
  auto& options = arguments.run.options;
  run->add_option("--workers", options.workers,
                  "sessions that copy, verify and build indexes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  run->add_option("--cutover", arguments.cutover,
                  "auto: as soon as it is ready; manual: stay in step until "
                  "`pgrecast cutover`")
      ->check(CLI::IsMember({"auto", "manual"}))
      ->capture_default_str();
  run->add_option("--lock-timeout", arguments.lock_timeout_ms,
                  "milliseconds that the exchange queues for a lock")
      ->check(CLI::Range(10, 10000))
      ->capture_default_str();
  run->add_option("--cutover-budget", arguments.cutover_budget_ms,
                  "milliseconds that the exchange may take under its locks")
      ->check(CLI::Range(50, 60000))
      ->capture_default_str();
  run->add_option("--cutover-attempts", options.cutover_attempts,
                  "then it ends with exit code 5, resumable")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  run->add_option("--max-retained", arguments.max_retained,
                  "WAL that its slot may keep on the server; beyond it the "
                  "slot is dropped, exit code 8")
      ->capture_default_str();
  run->add_flag("--no-verify", arguments.no_verify,
                "cut over without comparing every row");
  run->add_flag("--repair", options.repair,
                "after exit code 8: a new slot, and verify everything");
  run->add_flag("--restart", options.restart, "undo it and begin anew");
  run->add_flag("--yes", arguments.run.yes, "do not ask");
  run->add_option("--progress", arguments.progress, "how to show progress")
      ->check(CLI::IsMember({"auto", "bar", "plain", "none"}))
      ->capture_default_str();
  run->add_option("--log-format", arguments.log_format, "of stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  run->add_option("--log-level", arguments.log_level, "of stderr")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}))
      ->capture_default_str();
}

void add_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* plan =
      app.add_subcommand("plan", "say what would happen; change nothing");
  add_script(*plan, arguments);
  add_state_dir(*plan, arguments);
  plan->add_flag("--json", arguments.json, "for programs");
  add_run(app, arguments);
  const auto named = [&](const char* command, const char* text) {
    CLI::App* added = app.add_subcommand(command, text);
    add_connection(*added, arguments);
    added->add_option("name", arguments.name, "the migration")->required();
    return added;
  };
  CLI::App* status = app.add_subcommand("status", "how migrations stand");
  add_connection(*status, arguments);
  status->add_option("name", arguments.name, "the migration; default: all");
  status->add_flag("--json", arguments.json, "for programs");
  status->add_flag("--watch", arguments.watch, "again every second");
  named("cutover", "exchange the tables now");
  CLI::App* abort = named("abort", "before the exchange: undo everything");
  add_state_dir(*abort, arguments);
  abort
      ->add_option("--wait", arguments.abort_patience_s,
                   "seconds that the process which runs it may take; then the "
                   "command is taken back")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  add_state_dir(*named("finish", "after it: remove the old tables"), arguments);
  CLI::App* list = app.add_subcommand("list", "the database's migrations");
  add_connection(*list, arguments);
  list->add_flag("--json", arguments.json, "for programs");
  list->add_flag("--watch", arguments.watch, "again every second");
  CLI::App* reap = app.add_subcommand(
      "reap", "drop the slots that dead migrations left behind");
  add_connection(*reap, arguments);
  reap->add_option("--max-retained", arguments.max_retained,
                   "WAL that such a slot may keep: 500MB, 10GB")
      ->capture_default_str();
}

void dispatch(const CLI::App& app, Arguments& arguments,
              const std::stop_token& stop) {
  const std::string command = app.get_subcommands().front()->get_name();
  const std::string& conninfo = arguments.run.options.conninfo;
  if (command == "run") {
    arguments.run.options = run_options(arguments);
    arguments.run.progress = progress_mode(arguments.progress);
    run(arguments.run, stop);
  } else if (command == "plan") {
    plan(run_options(arguments), arguments.json, stop);
  } else if (command == "status" || command == "list") {
    show_status({.conninfo = conninfo,
                 .name = arguments.name.empty()
                             ? std::nullopt
                             : std::optional<std::string>(arguments.name),
                 .list = command == "list",
                 .json = arguments.json,
                 .watch = arguments.watch},
                stop);
  } else if (command == "cutover") {
    const auto phase =
        migration::tell_migration(conninfo, arguments.name, "cutover", stop);
    fmt::print("told the process that runs {}{}\n", arguments.name,
               phase == migration::Phase::kReady
                   ? ""
                   : fmt::format(": it is {}, and exchanges the tables as soon "
                                 "as it is ready, whenever that may be",
                                 migration::name_of(phase)));
  } else if (command == "abort") {
    migration::abort_migration(
        conninfo, arguments.name, state_dir_of(arguments),
        std::chrono::seconds(arguments.abort_patience_s), stop);
    fmt::print("{} is undone; everything is as it was before\n",
               arguments.name);
  } else if (command == "finish") {
    migration::finish_migration(conninfo, arguments.name,
                                state_dir_of(arguments), stop);
    fmt::print("{} is finished; nothing of it is left\n", arguments.name);
  } else if (command == "reap") {
    for (const std::string& name : migration::reap_migrations(
             conninfo, bytes_of(arguments.max_retained), stop)) {
      fmt::print("dropped the slot of {}\n", name);
    }
  }
}

log::Level log_level(const std::string& text) {
  if (text == "trace") return log::Level::kTrace;
  if (text == "debug") return log::Level::kDebug;
  if (text == "warn") return log::Level::kWarn;
  if (text == "error") return log::Level::kError;
  return log::Level::kInfo;
}

void mask(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t at = begin; at < std::min(end, text.size()); ++at) {
    text[at] = 'x';
  }
}

// From `at`, where a value of a connection string or URI begins.
std::size_t end_of_value(const std::string& text, std::size_t at, bool uri) {
  const bool quoted = !uri && at < text.size() && text[at] == '\'';
  for (std::size_t i = quoted ? at + 1 : at; i < text.size(); ++i) {
    if (uri && text[i] == '&') return i;
    if (!uri && text[i] == '\\')
      ++i;
    else if (quoted && text[i] == '\'')
      return i;
    else if (!quoted && text[i] == ' ')
      return i;
  }
  return text.size();
}

// The text with every password of a connection string or URI masked.
std::string without_passwords(std::string text) {
  const std::size_t scheme = text.find("://");
  const bool uri = scheme != std::string::npos;
  if (uri) {
    const std::size_t begin = scheme + 3;
    const std::size_t end = text.find_first_of("@/", begin);
    const std::size_t colon = text.find(':', begin);
    if (end != std::string::npos && text[end] == '@' && colon < end) {
      mask(text, colon + 1, end);
    }
  }
  constexpr std::string_view kKey = "password";
  for (std::size_t key = text.find(kKey); key != std::string::npos;
       key = text.find(kKey, key + 1)) {
    std::size_t at = text.find_first_not_of(' ', key + kKey.size());
    if (at == std::string::npos || text[at] != '=') continue;
    at = text.find_first_not_of(' ', at + 1);
    if (at != std::string::npos) mask(text, at, end_of_value(text, at, uri));
  }
  return text;
}

// A password on the command line is not left for everybody's `ps` to read.
void hide_passwords(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string hidden = without_passwords(argv[i]);
    std::copy(hidden.begin(), hidden.end(), argv[i]);
  }
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "Gives live PostgreSQL tables a new shape, without downtime.\n"
      "Exit codes: 0 done, 1 internal, 2 usage, 3 refused, 4 resumable, 5 not\n"
      "cut over, 6 verification failed, 7 aborted, 8 changes lost, 9 outcome\n"
      "unknown, 10 data breaks a constraint of the script.");
  app.require_subcommand(1);
  app.set_version_flag("--version", "pgrecast " PGRECAST_VERSION);
  Arguments arguments;
  add_commands(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  hide_passwords(argc, argv);
  log::configure(log_level(arguments.log_level), arguments.log_format == "json"
                                                     ? log::Format::kJson
                                                     : log::Format::kText);
  const SignalThread signals;
  try {
    dispatch(app, arguments, signals.token());
  } catch (...) {
    return static_cast<int>(report_current_error());
  }
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace
}  // namespace pgrecast::cli

int main(int argc, char** argv) {
  try {
    return pgrecast::cli::main_of(argc, argv);
  } catch (...) {
    std::fputs("pgrecast: internal error\n", stderr);
    return static_cast<int>(pgrecast::cli::ExitCode::kInternal);
  }
}
